// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.conformance;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.stream.Collectors;

/// Assembles golden files byte by byte from the format's definition: by default one query of width
/// 1 that sees two keys of equal score, so that the answer is the mean of the values 1 and 3.
final class GoldenWriter {
  private record Stored(String dtype, int[] shape, double[] values) {}

  private final Map<String, String> metadata = new LinkedHashMap<>();
  private final Map<String, Stored> tensors = new LinkedHashMap<>();

  GoldenWriter() {
    meta("format", "2").meta("mechanism", "softmax").meta("case", "c").meta("causal", "false");
    meta("source", "arithmetic");
    f32("q", new int[] {1, 1, 1, 1}, 1);
    f32("k", new int[] {1, 1, 2, 1}, 2, 2);
    f32("v", new int[] {1, 1, 2, 1}, 1, 3);
    f64("out", new int[] {1, 1, 1, 1}, 2);
  }

  GoldenWriter meta(String key, String value) {
    metadata.put(key, value);
    return this;
  }

  GoldenWriter f32(String name, int[] shape, double... values) {
    tensors.put(name, new Stored("F32", shape, values));
    return this;
  }

  GoldenWriter f64(String name, int[] shape, double... values) {
    tensors.put(name, new Stored("F64", shape, values));
    return this;
  }

  GoldenWriter without(String name) {
    metadata.remove(name);
    tensors.remove(name);
    return this;
  }

  Path write(Path path) throws IOException {
    ByteBuffer data = ByteBuffer.allocate(10_000).order(ByteOrder.LITTLE_ENDIAN);
    StringBuilder header = new StringBuilder("{\"__metadata__\":{");
    header.append(
        metadata.entrySet().stream()
            .map(e -> "\"" + e.getKey() + "\":\"" + e.getValue() + "\"")
            .collect(Collectors.joining(",")));
    header.append("}");
    for (Map.Entry<String, Stored> entry : tensors.entrySet()) {
      Stored tensor = entry.getValue();
      int begin = data.position();
      for (double value : tensor.values()) {
        if (tensor.dtype().equals("F32")) {
          data.putFloat((float) value);
        } else {
          data.putDouble(value);
        }
      }
      header.append(",\"").append(entry.getKey()).append("\":{\"dtype\":\"");
      header.append(tensor.dtype()).append("\",\"shape\":").append(Arrays.toString(tensor.shape()));
      header.append(",\"data_offsets\":[").append(begin).append(",").append(data.position());
      header.append("]}");
    }
    header.append("}");
    byte[] text = header.toString().getBytes(StandardCharsets.UTF_8);
    ByteBuffer file =
        ByteBuffer.allocate(8 + text.length + data.position()).order(ByteOrder.LITTLE_ENDIAN);
    file.putLong(text.length).put(text).put(data.array(), 0, data.position());
    return Files.write(path, file.array());
  }
}
