// Prints the settings of Kafka's clients with their defaults, as runtime/tests/golden/kafka-client-keys.json has them.
// java -cp '<jars of org.apache.kafka:kafka-clients:4.3.1 and slf4j-api>/*' tools/KafkaClientKeys.java
import java.util.*; import org.apache.kafka.common.config.*; import org.apache.kafka.clients.producer.*; import org.apache.kafka.clients.consumer.*; import org.apache.kafka.clients.admin.*;
public class KafkaClientKeys {
  static void dump(String n, ConfigDef d, boolean last) {
    System.out.println(" \"" + n + "\": {");
    TreeMap<String, ConfigDef.ConfigKey> m = new TreeMap<>(d.configKeys()); int i = 0;
    for (var e : m.entrySet()) {
      Object v = e.getValue().hasDefault() ? e.getValue().defaultValue : null;
      String s = v == null ? "null" : "\"" + String.valueOf(ConfigDef.convertToString(v, e.getValue().type)).replace("\\", "\\\\").replace("\"", "\\\"") + "\"";
      System.out.println("  \"" + e.getKey() + "\": " + s + (++i < m.size() ? "," : ""));
    }
    System.out.println(" }" + (last ? "" : ","));
  }
  public static void main(String[] a) {
    System.out.println("{"); dump("producer", ProducerConfig.configDef(), false); dump("consumer", ConsumerConfig.configDef(), false); dump("admin", AdminClientConfig.configDef(), true); System.out.println("}");
  }
}
