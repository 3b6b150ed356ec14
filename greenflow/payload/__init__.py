"""What a packet may carry: values, read-once streams, and the JSON of both."""
