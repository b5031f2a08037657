// Java's HttpClient, which offers HTTP/2 by an upgrade, and speaks 1.1 where that is not taken.
import java.io.ByteArrayInputStream;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse.BodyHandlers;
import java.nio.charset.StandardCharsets;

public class Peer {
    static String body(int count) {
        StringBuilder texts = new StringBuilder();
        for (int i = 0; i < count; i++) texts.append(i == 0 ? "" : ",").append("\"peer ").append(i).append(" \u00fc\"");
        return "{\"text\":[" + texts + "]}";
    }

    static void show(HttpClient client, String name, HttpRequest.Builder request) throws Exception {
        var response = client.send(request.build(), BodyHandlers.ofString());
        int count = response.body().split("\\[\\{", -1).length - 1;
        System.out.println(name + " " + response.statusCode() + " " + count);
    }

    public static void main(String[] arguments) throws Exception {
        URI predict = URI.create(arguments[0] + "/project/predict");
        HttpClient client = HttpClient.newBuilder().followRedirects(HttpClient.Redirect.NORMAL).build();
        byte[] three = body(3).getBytes(StandardCharsets.UTF_8);
        show(client, "json", HttpRequest.newBuilder(predict).POST(BodyPublishers.ofString(body(2))));
        show(client, "large", HttpRequest.newBuilder(predict).POST(BodyPublishers.ofString(body(100))));
        show(client, "slash", HttpRequest.newBuilder(URI.create(predict + "/")).POST(BodyPublishers.ofString(body(1))));
        show(client, "chunked", HttpRequest.newBuilder(predict).POST(BodyPublishers.ofInputStream(() -> new ByteArrayInputStream(three))));
        show(client, "again", HttpRequest.newBuilder(predict).expectContinue(true).POST(BodyPublishers.ofByteArray(three)));
    }
}
