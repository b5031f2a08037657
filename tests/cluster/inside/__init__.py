"""What runs inside the cluster, in a pod of the service's own image: the standard library only."""
