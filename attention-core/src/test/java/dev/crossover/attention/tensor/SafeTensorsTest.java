package dev.crossover.attention.tensor;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/// Reading safetensors files assembled byte by byte from the format's definition.
class SafeTensorsTest {
  @TempDir Path folder;

  @Test
  void namesShapesMetadataAndElementsAreReadInTheOrderOfTheHeader() throws IOException {
    ByteBuffer data = ByteBuffer.allocate(24).order(ByteOrder.LITTLE_ENDIAN);
    data.putDouble(0.1).putFloat(1.5f).putFloat(-2f).putInt(-7).putInt(8);
    SafeTensors file =
        SafeTensors.open(
            write(
                """
                {"__metadata__":{"z":"1","a":"\\u00e9"},\
                "q":{"dtype":"F32","shape":[1,2],"data_offsets":[8,16]},\
                "out":{"dtype":"F64","shape":[],"data_offsets":[0,8]},\
                "i":{"dtype":"I32","shape":[2],"data_offsets":[16,24]}}  \
                """,
                data.array()));
    assertEquals(List.of("q", "out", "i"), file.names());
    assertEquals("{z=1, a=é}", file.metadata().toString());
    assertEquals(Map.of("z", "1", "a", "é"), file.metadata());
    assertEquals(DType.F32, file.dtype("q"));
    assertArrayEquals(new long[] {1, 2}, file.shape("q"));
    assertArrayEquals(new int[] {1, 2}, file.tensor("q").shape());
    assertArrayEquals(new float[] {1.5f, -2f}, file.tensor("q").data());
    assertArrayEquals(new double[] {0.1}, file.doubles("out"));
    assertArrayEquals(new int[] {-7, 8}, file.ints("i"));
  }

  private Path write(String header, byte[] data) throws IOException {
    byte[] text = header.getBytes(StandardCharsets.UTF_8);
    ByteBuffer bytes =
        ByteBuffer.allocate(8 + text.length + data.length).order(ByteOrder.LITTLE_ENDIAN);
    bytes.putLong(text.length).put(text).put(data);
    return Files.write(folder.resolve("file.safetensors"), bytes.array());
  }
}
