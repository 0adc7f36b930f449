import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.time.Duration;

/** Sends what it is given with a client as Java makes it, which offers h2c on every request: URL METHOD TARGET BODY … */
public class Client {
    public static void main(String[] arguments) throws Exception {
        HttpClient client = HttpClient.newHttpClient();
        for (int i = 1; i < arguments.length; i += 3) {
            for (boolean inChunks : new boolean[] {false, true}) {
                HttpResponse<String> answer = client.send(
                    HttpRequest.newBuilder(URI.create(arguments[0] + arguments[i + 1]))
                        .timeout(Duration.ofSeconds(60))
                        .header("Content-Type", "application/json")
                        .method(arguments[i], body(arguments[i + 2], inChunks))
                        .build(),
                    HttpResponse.BodyHandlers.ofString());
                System.out.println(answer.statusCode() + " " + answer.version() + " " + answer.body().length());
            }
        }
    }

    private static HttpRequest.BodyPublisher body(String text, boolean inChunks) {
        if (text.isEmpty()) {
            return HttpRequest.BodyPublishers.noBody();
        }
        HttpRequest.BodyPublisher whole = HttpRequest.BodyPublishers.ofString(text);
        return inChunks ? HttpRequest.BodyPublishers.fromPublisher(whole) : whole;
    }
}
