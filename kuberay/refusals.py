"""An API server's refusal as one line that says what to do."""

from __future__ import annotations

import json
import re

from kubernetes.dynamic.exceptions import DynamicApiError

from kuberay.errors import ClientError, Conflict, ExitCode, Unreachable
from kuberay.redact import redact_text

_TRANSIENT = {408, 429, 500, 502, 503, 504}
_NOT_FOUND, _CONFLICT, _INVALID = 404, 409, 422
_QUOTE_VALUES = {400, _INVALID}
_MANAGER = re.compile(r'conflicts? with "([^"]+)"')


def explain(error: DynamicApiError, doing: str, *, secret: bool) -> ClientError:
    """Explain a refused request to the user; of a Secret, without the text of the answer."""
    try:
        status = json.loads(error.body)
        quotes = secret and error.status in _QUOTE_VALUES
        said = "its answer may quote the Secret" if quotes else redact_text(str(status.get("message", "")))
        causes = (status.get("details") or {}).get("causes") or []
    except (TypeError, ValueError, AttributeError):
        said, causes = str(error.reason), []
    said = " ".join(said.split())[:1000]
    if "declared in schema" in said:
        hint = "a newer version of it brings the CRD that has it"
        return ClientError(ExitCode.OPERATOR, f"cannot {doing}, the operator is too old for it: {said}; {hint}")
    if error.status in _TRANSIENT:
        return Unreachable(f"the API server cannot {doing} now: status {error.status} {said}")
    if error.status == _CONFLICT and any(cause.get("reason") == "FieldManagerConflict" for cause in causes):
        fields = "; ".join(f"{cause.get('field')} ({cause.get('message')})" for cause in causes)
        hint = "--force-conflicts takes them over"
        managers = frozenset(name for cause in causes for name in _MANAGER.findall(str(cause.get("message"))))
        return Conflict(managers, f"cannot {doing}, other managers own fields: {fields}; {hint}")
    return _refusal(error.status, doing, said)


def _refusal(status: int, doing: str, said: str) -> ClientError:
    if status == 401:  # noqa: PLR2004
        return ClientError(ExitCode.FORBIDDEN, f"the cluster refuses these credentials; log in again to {doing}")
    if status == 403 and "cannot" in said and "resource" in said:  # noqa: PLR2004  (else it is an admission policy)
        return ClientError(ExitCode.FORBIDDEN, f"not allowed to {doing}: {said}")
    if status == _NOT_FOUND:
        return ClientError(ExitCode.NOT_FOUND, f"cannot {doing}: {said}")
    if 400 <= status < 500:  # noqa: PLR2004
        return ClientError(ExitCode.REJECTED, f"refused to {doing}: {said}")
    return ClientError(ExitCode.FAILED, f"cannot {doing}: status {status} {said}")
