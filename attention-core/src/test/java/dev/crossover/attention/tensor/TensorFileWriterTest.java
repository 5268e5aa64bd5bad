// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.tensor;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.SplittableRandom;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/// What is written is what was given: exactly where the type allows, otherwise rounded as IEEE 754
/// rounds.
class TensorFileWriterTest {
  @TempDir Path folder;

  /// Values that every type of a kind holds exactly.
  private static double[] exactFor(DType dtype, int count) {
    SplittableRandom random = new SplittableRandom(7);
    double[] values = new double[count];
    for (int i = 0; i < count; i++) {
      values[i] =
          switch (dtype) {
            case BOOL -> random.nextInt(2);
            case U8 -> random.nextInt(256);
            case I32 -> random.nextInt();
            case I64 -> random.nextLong(-1L << 53, 1L << 53);
            case F16, BF16 -> random.nextInt(-255, 256) * 0x1p-5;
            case F32 -> random.nextInt(-1 << 23, 1 << 23) * 0x1p-30;
            case F64 -> random.nextDouble(-1e9, 1e9);
          };
    }
    return values;
  }

  @ParameterizedTest
  @EnumSource(DType.class)
  void everyTypeSurvivesSafetensors(DType dtype) throws IOException {
    // More elements than one buffer holds, and not a multiple of it.
    double[] values = exactFor(dtype, 3 * 7 * 4001);
    Path path = folder.resolve("x.safetensors");
    new TensorFileWriter()
        .metadata("b", "\"\\\u0001\u001f/é😀")
        .metadata("a", "")
        .add("first", DType.U8, new int[] {5}, 1, 1)
        .add("ünï \"x\"", dtype, values, 3, 7, 4001)
        .writeSafeTensors(path);
    SafeTensors file = SafeTensors.open(path);
    assertEquals(List.of("first", "ünï \"x\""), file.names());
    assertEquals(List.of("b", "a"), List.copyOf(file.metadata().keySet()));
    assertEquals(Map.of("b", "\"\\\u0001\u001f/é😀", "a", ""), file.metadata());
    assertEquals(dtype, file.dtype("ünï \"x\""));
    assertArrayEquals(new long[] {3, 7, 4001}, file.shape("ünï \"x\""));
    assertArrayEquals(values, file.doubles("ünï \"x\""));
    float[] floats = file.tensor("ünï \"x\"").data();
    for (int i = 0; i < values.length; i++) {
      assertEquals((float) values[i], floats[i]);
    }
  }

  @ParameterizedTest
  @EnumSource(value = DType.class, mode = EnumSource.Mode.EXCLUDE, names = "BF16")
  void everyTypeSurvivesNumpyInEveryVersionAndOrder(DType dtype) throws IOException {
    double[] values = exactFor(dtype, 3 * 5 * 4001);
    Path path = folder.resolve("x.npy");
    TensorFileWriter writer = new TensorFileWriter().add("x", dtype, values, 3, 5, 4001);
    for (int version = 1; version <= 3; version++) {
      for (ByteOrder byteOrder : List.of(ByteOrder.LITTLE_ENDIAN, ByteOrder.BIG_ENDIAN)) {
        for (boolean fortranOrder : new boolean[] {false, true}) {
          writer.writeNpy(path, new NpyFormat(version, fortranOrder, byteOrder));
          NpyFile file = NpyFile.open(path);
          assertEquals(dtype, file.dtype(NpyFile.NAME));
          assertArrayEquals(new long[] {3, 5, 4001}, file.shape(NpyFile.NAME));
          assertArrayEquals(values, file.doubles(NpyFile.NAME));
        }
      }
    }
    Path archive = folder.resolve("x.npz");
    writer.add("s", dtype, new int[] {1}).writeNpz(archive);
    NpzFile file = NpzFile.open(archive);
    assertEquals(List.of("x", "s"), file.names());
    assertArrayEquals(values, file.doubles("x"));
    assertArrayEquals(new double[] {1}, file.doubles("s"));
    assertEquals(0, file.shape("s").length);
  }

  @Test
  void scalarsAndEmptyTensorsSurviveFortranOrder() throws IOException {
    Path path = folder.resolve("x.npy");
    NpyFormat fortran = new NpyFormat(1, true, ByteOrder.LITTLE_ENDIAN);
    for (int[] shape : new int[][] {{}, {0}, {3, 0, 2}, {1}, {1, 1}}) {
      Tensor tensor = Tensor.zeros(shape);
      new TensorFileWriter().add("x", tensor).writeNpy(path, fortran);
      assertArrayEquals(shape, NpyFile.open(path).tensor(NpyFile.NAME).shape());
    }
  }

  @Test
  void halvesAreRoundedOnceToNearestWithTiesToEven() throws IOException {
    double[] values = {
      1 + 0x1p-11,
      1 + 0x3p-11,
      1 + 0x1p-11 + 0x1p-40,
      65519.99999999,
      65520,
      0x1p-25,
      0x1p-25 + 0x1p-60,
      1e300,
      -1e-300,
      Double.NaN,
      Double.NEGATIVE_INFINITY
    };
    int[] bits = {
      0x3c00, 0x3c02, 0x3c01, 0x7bff, 0x7c00, 0x0000, 0x0001, 0x7c00, 0x8000, 0x7e00, 0xfc00
    };
    assertArrayEquals(bits, written(DType.F16, values));
  }

  @Test
  void brainFloatsAreRoundedOnceToNearestWithTiesToEven() throws IOException {
    double[] values = {
      1 + 0x1p-8,
      1 + 0x3p-8,
      1 + 0x1p-8 + 0x1p-40,
      0x1.fep127,
      0x1.ffp127,
      0x1p-134,
      0x1p-134 + 0x1p-150,
      -1e300,
      -1e-300,
      Double.NaN,
      Double.POSITIVE_INFINITY
    };
    int[] bits = {
      0x3f80, 0x3f82, 0x3f81, 0x7f7f, 0x7f80, 0x0000, 0x0001, 0xff80, 0x8000, 0x7fc0, 0x7f80
    };
    assertArrayEquals(bits, written(DType.BF16, values));
  }

  private int[] written(DType dtype, double... values) throws IOException {
    Path path = folder.resolve("bits");
    new TensorFileWriter().add("x", dtype, values, values.length).writeSafeTensors(path);
    byte[] bytes = Files.readAllBytes(path);
    int start = bytes.length - 2 * values.length;
    int[] bits = new int[values.length];
    for (int i = 0; i < bits.length; i++) {
      int low = Byte.toUnsignedInt(bytes[start + 2 * i]);
      bits[i] = low | Byte.toUnsignedInt(bytes[start + 2 * i + 1]) << 8;
    }
    return bits;
  }

  @Test
  void safetensorsAreLaidOutAsTheFormatSays() throws IOException {
    Path path = folder.resolve("x.safetensors");
    new TensorFileWriter()
        .metadata("k", "v")
        .add("x", Tensor.of(new float[] {1, -2}, 2, 1))
        .add("y", DType.U8, new int[] {255})
        .writeSafeTensors(path);
    String header =
        """
        {"__metadata__":{"k":"v"},"x":{"dtype":"F32","shape":[2,1],"data_offsets":[0,8]},\
        "y":{"dtype":"U8","shape":[],"data_offsets":[8,9]}}\
        """;
    String padded = header + " ".repeat((8 - header.length() % 8) % 8);
    byte[] data = {0, 0, (byte) 0x80, 0x3f, 0, 0, 0, (byte) 0xc0, (byte) 0xff};
    assertArrayEquals(FileBytes.safetensors(padded, data), Files.readAllBytes(path));
  }

  @Test
  void npyFilesAreLaidOutAsTheFormatSays() throws IOException {
    Path path = folder.resolve("x.npy");
    new TensorFileWriter()
        .add("x", DType.I32, new int[] {1, 2}, 2)
        .writeNpy(path, new NpyFormat(2, false, ByteOrder.BIG_ENDIAN));
    String literal = "{'descr': '>i4', 'fortran_order': False, 'shape': (2,), }";
    String padded = literal + " ".repeat(128 - 12 - 1 - literal.length()) + "\n";
    byte[] data = {0, 0, 0, 1, 0, 0, 0, 2};
    assertArrayEquals(FileBytes.npy(2, padded, data), Files.readAllBytes(path));
  }

  @Test
  void theSameAdditionsGiveTheSameBytes() throws IOException {
    TensorFileWriter writer =
        new TensorFileWriter().add("a", Tensor.zeros(3, 4)).add("b", Tensor.zeros(5));
    Path once = folder.resolve("once");
    Path again = folder.resolve("again");
    writer.writeNpz(once);
    writer.writeNpz(again);
    assertEquals(-1, Files.mismatch(once, again));
    writer.writeSafeTensors(once);
    writer.writeSafeTensors(again);
    assertEquals(-1, Files.mismatch(once, again));
  }

  @Test
  void aFailedWriteLeavesTheOldFileAndNothingElse() throws IOException {
    Path path = Files.writeString(folder.resolve("x.npz"), "old");
    // A ZIP entry's name has at most 65535 bytes, which only writing finds out.
    String name = "x".repeat(70_000);
    TensorFileWriter writer = new TensorFileWriter().add(name, Tensor.zeros(2));
    assertThrows(IllegalArgumentException.class, () -> writer.writeNpz(path));
    assertEquals("old", Files.readString(path));
    try (Stream<Path> files = Files.list(folder)) {
      assertEquals(List.of(path), files.toList());
    }
    new TensorFileWriter().add("y", Tensor.zeros(2)).writeNpz(path);
    assertEquals(List.of("y"), NpzFile.open(path).names());
  }

  @Test
  void whatAFileCannotSayIsRefused() {
    TensorFileWriter writer = new TensorFileWriter().add("x", Tensor.zeros(2)).metadata("k", "v");
    double[] one = {1};
    assertRefused("name must be new, but was x", () -> writer.add("x", Tensor.zeros(2)));
    assertRefused("name must be new", () -> writer.add("__metadata__", Tensor.zeros(2)));
    assertRefused("key must be new, but was k", () -> writer.metadata("k", "w"));
    assertRefused("half a surrogate pair", () -> writer.metadata("s", "\ud800"));
    assertRefused("half a surrogate pair", () -> writer.add("\udc00", Tensor.zeros(2)));
    assertRefused("(3), but was 1", () -> writer.add("y", DType.F32, one, 3));
    assertRefused("at most 64 dimensions", () -> writer.add("y", Tensor.zeros(new int[65])));
    assertRefused("metadata must be empty", () -> writer.writeNpz(folder.resolve("x.npz")));
    TensorFileWriter brain = new TensorFileWriter().add("x", DType.BF16, one);
    assertRefused("of a type NumPy knows", () -> brain.writeNpz(folder.resolve("x.npz")));
    TensorFileWriter none = new TensorFileWriter();
    assertRefused(
        "must hold one tensor, but was 0",
        () -> none.writeNpy(folder.resolve("x.npy"), NpyFormat.DEFAULT));
    assertRefused("version must be 1, 2 or 3", () -> new NpyFormat(4, false, ByteOrder.BIG_ENDIAN));
  }

  @Test
  void integralTypesRefuseWhatTheyCannotHold() {
    assertHolds(DType.BOOL, new double[] {0, 1}, -1, 2, 0.5);
    assertHolds(DType.U8, new double[] {0, 255}, -1, 256, 0.5);
    assertHolds(DType.I32, new double[] {-0x1p31, 0x1p31 - 1}, -0x1p31 - 1, 0x1p31, 0.5);
    assertHolds(DType.I64, new double[] {-0x1p63, 0x1p62}, -0x1.1p63, 0x1p63, 0.5, Double.NaN);
  }

  private static void assertHolds(DType dtype, double[] held, double... refused) {
    for (double value : held) {
      assertFalse(
          new TensorFileWriter().add("x", dtype, new double[] {value}).toString().isEmpty());
    }
    for (double value : refused) {
      assertRefused(
          "must hold values of type " + dtype + ", but was " + value,
          () -> new TensorFileWriter().add("x", dtype, new double[] {value}));
    }
  }

  private static void assertRefused(String rule, FileBytes.Action action) {
    String message = assertThrows(IllegalArgumentException.class, action::run).getMessage();
    assertTrue(message.contains(rule), message);
  }
}
