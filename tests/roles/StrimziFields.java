// Reads Strimzi's resources, one file each, into the classes its operators read them into; prints what no class knows.
import com.fasterxml.jackson.databind.JsonMappingException;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.dataformat.yaml.YAMLFactory;
import java.io.File;
import java.lang.reflect.Method;
import java.util.List;
import java.util.Map;

public class StrimziFields {
    private static final Map<String, String> CLASSES = Map.of(
        "Kafka", "kafka.Kafka", "KafkaNodePool", "nodepool.KafkaNodePool",
        "KafkaTopic", "topic.KafkaTopic", "KafkaUser", "user.KafkaUser");
    private static final ObjectMapper YAML = new ObjectMapper(new YAMLFactory());

    public static void main(String[] files) throws Exception {
        for (String file : files) {
            String kind = YAML.readTree(new File(file)).get("kind").asText();
            try {
                Class<?> type = Class.forName("io.strimzi.api.kafka.model." + CLASSES.get(kind));
                walk(kind, YAML.readValue(new File(file), type));
            } catch (JsonMappingException error) {
                System.out.println(kind + ": " + error.getOriginalMessage() + " at " + error.getPathReference());
            }
        }
    }

    private static void walk(String path, Object value) throws Exception {
        if (value instanceof List<?> list) {
            for (Object item : list) {
                walk(path + "[]", item);
            }
        } else if (value != null && !(value instanceof Enum)
                && value.getClass().getName().matches("io\\.(strimzi|fabric8)\\..*")) {
            for (Method getter : value.getClass().getMethods()) {
                if (!getter.getName().startsWith("get") || getter.getParameterCount() > 0 || getter.isBridge()) {
                    continue;
                }
                Object found = getter.invoke(value);
                if (!getter.getName().equals("getAdditionalProperties")) {
                    walk(path + "." + getter.getName().substring(3), found);
                } else if (found instanceof Map<?, ?> unknown) {
                    unknown.keySet().forEach(name -> System.out.println(path + ": no field " + name));
                }
            }
        }
    }
}
