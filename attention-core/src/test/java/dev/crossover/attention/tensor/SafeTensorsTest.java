// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.tensor;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

/// Reading safetensors files assembled byte by byte from the format's definition.
class SafeTensorsTest {
  private static final byte[] NO_DATA = {};

  @TempDir Path folder;

  @Test
  void namesShapesMetadataAndElementsAreReadInTheOrderOfTheHeader() throws IOException {
    ByteBuffer data = FileBytes.little(24);
    data.putDouble(0.1).putFloat(1.5f).putFloat(-2f).putInt(-7).putInt(8);
    SafeTensors file =
        open(
            """
            {"__metadata__":{"z":"1","a":"\\u00e9\\n\\ud83d\\ude00"},\
            "q":{"dtype":"F32","shape":[1,2],"data_offsets":[8,16]},\
            "out":{"shape":[],"data_offsets":[0,8],"dtype":"F64"},
             "i" : { "dtype":"I32", "shape":[ 2 ],"data_offsets":[16, 24]}}  \
            """,
            data.array());
    assertEquals(List.of("q", "out", "i"), file.names());
    assertEquals("{z=1, a=é\n😀}", file.metadata().toString());
    assertEquals(DType.F32, file.dtype("q"));
    assertArrayEquals(new long[] {1, 2}, file.shape("q"));
    assertArrayEquals(new int[] {1, 2}, file.tensor("q").shape());
    assertArrayEquals(new float[] {1.5f, -2f}, file.tensor("q").data());
    assertEquals(0, file.tensor("out").rank());
    assertArrayEquals(new float[] {0.1f}, file.tensor("out").data());
    assertArrayEquals(new double[] {0.1}, file.doubles("out"));
    assertArrayEquals(new int[] {-7, 8}, file.ints("i"));
  }

  @Test
  void aFileOfTheReferenceWriterIsRead() throws Exception {
    Path path = Path.of(getClass().getResource("/tensor/reference.safetensors").toURI());
    SafeTensors file = SafeTensors.open(path);
    assertEquals("{mechanism=softmax}", file.metadata().toString());
    assertArrayEquals(new float[] {1, -2, 65504, 0x1p-24f}, file.tensor("half").data());
    assertArrayEquals(new long[] {2, 2}, file.shape("half"));
    assertArrayEquals(new int[] {-5}, file.ints("steps"));
    assertArrayEquals(new int[] {1, 0, 1}, file.ints("mask"));
    assertArrayEquals(new double[] {0.1, 1e300}, file.doubles("out"));
  }

  @Test
  void everyBinary16PatternIsReadAsIeee754DefinesIt() throws IOException {
    ByteBuffer data = FileBytes.little(2 << 16);
    for (int bits = 0; bits < 1 << 16; bits++) {
      data.putShort((short) bits);
    }
    double[] values = ofType("F16", "[65536]", data.array()).doubles("x");
    for (int bits = 0; bits < 1 << 16; bits++) {
      int exponent = bits >> 10 & 31;
      double fraction = (bits & 1023) / 1024.0;
      double magnitude =
          exponent == 0
              ? fraction * 0x1p-14
              : exponent < 31
                  ? (1 + fraction) * Math.pow(2, exponent - 15)
                  : fraction == 0 ? Double.POSITIVE_INFINITY : Double.NaN;
      assertEquals(bits < 1 << 15 ? magnitude : -magnitude, values[bits]);
    }
  }

  @Test
  void brainFloatsAreTheUpperHalvesOfFloats() throws IOException {
    ByteBuffer data = FileBytes.little(14);
    for (int bits : new int[] {0x3f80, 0xc000, 0x4049, 0x7f7f, 0x0001, 0xff80, 0x8000}) {
      data.putShort((short) bits);
    }
    assertArrayEquals(
        new float[] {1, -2, 3.140625f, 0x1.fep127f, 0x1p-133f, Float.NEGATIVE_INFINITY, -0.0f},
        ofType("BF16", "[7]", data.array()).tensor("x").data());
  }

  @Test
  void bytesAreUnsignedAndLongsKeepTheirSign() throws IOException {
    assertArrayEquals(
        new int[] {0, 127, 128, 255}, ofType("U8", "[4]", new byte[] {0, 127, -128, -1}).ints("x"));
    byte[] longs = FileBytes.little(16).putLong(Integer.MIN_VALUE).putLong(1L << 53).array();
    SafeTensors file = ofType("I64", "[2]", longs);
    assertArrayEquals(new double[] {-0x1p31, 0x1p53}, file.doubles("x"));
    assertFault("a value beyond 32 bits", () -> file.ints("x"));
  }

  @Test
  void whatATensorIsNotItIsNotReadAs() throws IOException {
    SafeTensors file = ofType("F32", "[1]", new byte[4]);
    assertFault("must be of an integral type, but was F32", () -> file.ints("x"));
    assertFault("holds no tensor 'y'; it holds x", () -> file.tensor("y"));
    assertFalse(file.contains("y"));
    SafeTensors bool = ofType("BOOL", "[2]", new byte[] {1, 2});
    assertFault("a BOOL other than 0 and 1", () -> bool.tensor("x"));
  }

  @Test
  void emptyTensorsAndFilesWithoutTensorsAreFine() throws IOException {
    SafeTensors file =
        open(
            """
            {"a":{"dtype":"F32","shape":[0,7],"data_offsets":[0,0]},\
            "b":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},\
            "c":{"dtype":"F32","shape":[3,0],"data_offsets":[1,1]}}\
            """,
            new byte[] {9});
    assertArrayEquals(new int[] {0, 7}, file.tensor("a").shape());
    assertArrayEquals(new int[] {9}, file.ints("b"));
    assertEquals(List.of(), open("{}", NO_DATA).names());
  }

  @Test
  void tensorsBeyondFourGigabytesAreReadWithoutTheRest() throws IOException {
    long large = 5_000_000_000L;
    String header =
        """
        {"large":{"dtype":"U8","shape":[5000000000],"data_offsets":[0,5000000000]},\
        "last":{"dtype":"I32","shape":[1],"data_offsets":[5000000000,5000000004]}}\
        """;
    Path path = folder.resolve("large.safetensors");
    byte[] start = FileBytes.safetensors(header, NO_DATA);
    try (FileChannel channel =
        FileChannel.open(
            path,
            StandardOpenOption.CREATE_NEW,
            StandardOpenOption.WRITE,
            StandardOpenOption.SPARSE)) {
      channel.write(ByteBuffer.wrap(start));
      channel.write(FileBytes.little(4).putInt(42).flip(), start.length + large);
    }
    SafeTensors file = SafeTensors.open(path);
    assertArrayEquals(new int[] {42}, file.ints("last"));
    assertFault("must hold at most 2147483639 elements", () -> file.tensor("large"));
    assertFault("must hold at most 2147483639 elements", () -> file.doubles("large"));
  }

  @Test
  void aFileThatChangedAfterOpeningIsNoticed() throws IOException {
    SafeTensors file = ofType("U8", "[4]", new byte[4]);
    Files.write(file.path(), new byte[] {0}, StandardOpenOption.APPEND);
    assertFault("has changed since it was opened", () -> file.tensor("x"));
    Files.delete(file.path());
    assertFault("there is no such file", () -> file.tensor("x"));
  }

  @Test
  void everyTruncationIsRefused() throws IOException {
    byte[] whole =
        FileBytes.safetensors(
            "{\"x\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}", new byte[8]);
    for (int length = 0; length < whole.length; length++) {
      Path path = Files.write(folder.resolve("cut"), java.util.Arrays.copyOf(whole, length));
      assertFault("", () -> SafeTensors.open(path));
    }
  }

  @Test
  void lengthsOfTheHeaderThatTheFileCannotHoldAreRefusedWithoutAllocatingThem() throws IOException {
    for (long length : new long[] {3, 100, 10_000_000_000L, Long.MAX_VALUE, Long.MIN_VALUE, -1}) {
      Path path =
          Files.write(
              folder.resolve("length"),
              FileBytes.safetensors(length, new byte[] {'{', '}'}, NO_DATA));
      String fault =
          "header length must be at most the 2 bytes that follow, but was "
              + Long.toUnsignedString(length);
      assertFault(fault, () -> SafeTensors.open(path));
    }
    Path zero = Files.write(folder.resolve("zero"), FileBytes.safetensors(0, NO_DATA, NO_DATA));
    assertFault("must begin with '{'", () -> SafeTensors.open(zero));
  }

  static Stream<Arguments> hostileHeaders() {
    String ten = "\"data_offsets\":[0,10]}}";
    String u8 = "{\"x\":{\"dtype\":\"U8\",";
    return Stream.of(
        Arguments.of("[]", "must begin with '{'"),
        Arguments.of(" {}", "must begin with '{'"),
        Arguments.of("{} x", "must end after its object"),
        Arguments.of("{", "must hold '\"' here"),
        Arguments.of("{\"x\":", "must hold '{' here"),
        Arguments.of("{\"x\"", "must hold ':' here"),
        Arguments.of("{\"x", "ends within a string"),
        Arguments.of("{\"x\\", "ends within a string"),
        Arguments.of("{\"x\":null}", "must hold '{' here"),
        Arguments.of("{\"x\":{}}", "must give tensor 'x' dtype, shape and data_offsets"),
        Arguments.of(u8 + "\"shape\":[10]}}", "dtype, shape and data_offsets"),
        Arguments.of(u8 + "\"shape\":[10]," + ten.replace("}}", "},}"), "must hold '\"' here"),
        Arguments.of(u8 + "\"shape\":[10,]," + ten, "must hold an integer >= 0 here"),
        Arguments.of(u8 + "\"shape\":[10 1]," + ten, "must hold ',' or ']' here"),
        Arguments.of(u8 + "\"shape\":[010]," + ten, "must hold an integer >= 0 here"),
        Arguments.of(u8 + "\"shape\":[1e1]," + ten, "must hold ',' or ']' here"),
        Arguments.of(u8 + "\"shape\":[-10]," + ten, "must hold an integer >= 0 here"),
        Arguments.of(u8 + "\"shape\":[-1,-10]," + ten, "must hold an integer >= 0 here"),
        Arguments.of(u8 + "\"shape\":10," + ten, "must hold '[' here"),
        Arguments.of(u8 + "\"shape\":[9223372036854775808]," + ten, "beyond 2^63 - 1"),
        Arguments.of(u8 + "\"shape\":[4294967296,4294967296,10]," + ten, "overflows"),
        Arguments.of(
            "{\"x\":{\"dtype\":\"F64\",\"shape\":[2305843009213693953]," + ten, "overflows"),
        Arguments.of(u8 + "\"shape\":[9]," + ten, "must span the 9 bytes of its shape"),
        Arguments.of("{\"x\":{\"dtype\":\"F32\",\"shape\":[10]," + ten, "must span the 40 bytes"),
        Arguments.of(u8 + "\"shape\":[10],\"data_offsets\":[10,0]}}", "begin <= end"),
        Arguments.of(u8 + "\"shape\":[10],\"data_offsets\":[0,5,10]}}", "[begin, end]"),
        Arguments.of(u8 + "\"shape\":[10],\"data_offsets\":[]}}", "[begin, end]"),
        Arguments.of(
            u8 + "\"shape\":[10000000000],\"data_offsets\":[0,10000000000]}}",
            "must lie within the 10 bytes of data, but ends at 10000000000"),
        Arguments.of(u8 + "\"shape\":[10],\"data_offsets\":[1,11]}}", "must lie within the 10"),
        Arguments.of(
            u8 + "\"shape\":[1],\"data_offsets\":[9223372036854775806,9223372036854775807]}}",
            "must lie within the 10 bytes of data"),
        Arguments.of(u8 + "\"shape\":[9],\"data_offsets\":[1,10]}}", "leaves a gap before it"),
        Arguments.of(u8 + "\"shape\":[9],\"data_offsets\":[0,9]}}", "1 bytes that belong to no"),
        Arguments.of("{}", "10 bytes that belong to no tensor"),
        Arguments.of(two("x", "0,6", "y", "5,10"), "overlaps another"),
        Arguments.of(two("x", "0,10", "y", "0,10"), "overlaps another"),
        Arguments.of(two("x", "0,10", "y", "4,6"), "overlaps another"),
        Arguments.of(two("x", "0,4", "y", "5,10"), "leaves a gap before it"),
        Arguments.of(two("x", "0,5", "x", "5,10"), "names 'x' twice"),
        Arguments.of(two("x", "0,5", "\\u0078", "5,10"), "names 'x' twice"),
        Arguments.of(u8 + "\"dtype\":\"U8\",\"shape\":[10]," + ten, "two of 'dtype'"),
        Arguments.of(u8 + "\"shape\":[10],\"shape\":[10]," + ten, "two of 'shape'"),
        Arguments.of(u8 + "\"strides\":[1],\"shape\":[10]," + ten, "an unknown 'strides'"),
        Arguments.of("{\"__metadata__\":{\"a\":\"1\",\"a\":\"2\"}}", "metadata 'a' twice"),
        Arguments.of("{\"__metadata__\":{},\"__metadata__\":{}}", "'__metadata__' twice"),
        Arguments.of("{\"__metadata__\":{\"a\":1}}", "must hold '\"' here"),
        Arguments.of("{\"__metadata__\":{\"a\":{\"b\":\"c\"}}}", "must hold '\"' here"),
        Arguments.of(u8.replace("U8", "f32") + "\"shape\":[10]," + ten, "but was 'f32'"),
        Arguments.of(u8.replace("U8", "") + "\"shape\":[10]," + ten, "must be one of [F16, BF16,"),
        Arguments.of(two("x", "0,4", "y", "5,10").replace("U8", "U32"), "leaves a gap before it"),
        Arguments.of(two("x", "0,6", "y", "5,10").replace("U8", "U32"), "overlaps another"),
        Arguments.of(two("x", "0,5", "x", "5,10").replace("U8", "U32"), "names 'x' twice"),
        Arguments.of(u8.replace("U8", "U32") + "\"shape\":[9],\"data_offsets\":[0,9]}}", "1 bytes"),
        Arguments.of("{\"\\q\":{}}", "unknown escape"),
        Arguments.of("{\"\\u12g4\":{}}", "four hexadecimal digits"),
        Arguments.of("{\"\\u12\":{}}", "four hexadecimal digits"),
        Arguments.of("{\"\\ud800\":{}}", "half a surrogate pair"),
        Arguments.of("{\"a\nb\":{}}", "control character"),
        Arguments.of("{\"x\":" + "[".repeat(100_000), "must hold '{' here"),
        Arguments.of("{\"x\":".repeat(100_000), "an unknown 'x'"),
        Arguments.of("{\"x\":{".repeat(100_000), "must hold '\"' here"),
        Arguments.of(u8 + "\"shape\":" + "[".repeat(100_000), "must hold an integer >= 0 here"),
        Arguments.of(u8 + "\"shape\":[" + "1,".repeat(100_000) + "1]," + ten, "more than 64"));
  }

  @ParameterizedTest
  @ValueSource(strings = {"I8", "I16", "U16", "U32", "U64", "F8_E4M3", "F8_E5M2", "F4", "C64"})
  void tensorsOfOtherTypesArePassedOverUnlessTheyAreAskedFor(String type) throws IOException {
    String header =
        "{\"labels\":{\"dtype\":\""
            + type
            + "\",\"shape\":[2],\"data_offsets\":[0,8]},"
            + "\"q\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[8,10]}}";
    SafeTensors file =
        SafeTensors.open(
            Files.write(
                folder.resolve("types"),
                FileBytes.safetensors(header, new byte[] {0, 0, 0, 0, 0, 0, 0, 0, 1, 2})));
    assertEquals(List.of("q"), file.names());
    assertArrayEquals(new int[] {1, 2}, file.ints("q"));
    assertEquals(Map.of("labels", type), file.unread());
    assertFault(
        "tensor 'labels' must be of one of the types [F16, BF16, F32, F64, I32, I64, U8, BOOL], but"
            + " was '"
            + type
            + "'",
        () -> file.tensor("labels"));
  }

  private static String two(String first, String range, String second, String secondRange) {
    return "{" + bytes(first, range) + "," + bytes(second, secondRange) + "}";
  }

  private static String bytes(String name, String range) {
    String[] ends = range.split(",");
    int size = Integer.parseInt(ends[1]) - Integer.parseInt(ends[0]);
    return "\"%s\":{\"dtype\":\"U8\",\"shape\":[%d],\"data_offsets\":[%s]}"
        .formatted(name, size, range);
  }

  @ParameterizedTest
  @MethodSource("hostileHeaders")
  void hostileHeadersAreRefusedInOneLineThatNamesFileAndFault(String header, String fault)
      throws IOException {
    Path path = Files.write(folder.resolve("bad.rs"), FileBytes.safetensors(header, new byte[10]));
    String message = assertFault(fault, () -> SafeTensors.open(path));
    assertTrue(message.startsWith(path.toString()), message);
    // The header itself and room for the message; every claim above is for far more.
    long allocated = FileBytes.allocatedBy(() -> SafeTensors.open(path));
    assertTrue(allocated < 2L * header.length() + 50_000, () -> allocated + " bytes");
  }

  @Test
  void namesThatAreNotUtf8AreRefused() throws IOException {
    // An overlong '/', a lone continuation, a surrogate half, a truncated sequence.
    for (int[] bad : new int[][] {{0xc0, 0xaf}, {0x80}, {0xed, 0xa0, 0x80}, {0xe2, 0x82}}) {
      byte[] header = "{\"____\":{}}".getBytes(StandardCharsets.US_ASCII);
      for (int i = 0; i < bad.length; i++) {
        header[2 + i] = (byte) bad[i];
      }
      Path path =
          Files.write(
              folder.resolve("utf8"), FileBytes.safetensors(header.length, header, NO_DATA));
      assertFault("must be UTF-8", () -> SafeTensors.open(path));
    }
  }

  @Test
  void namesCannotBreakTheLineOrFillTheScreen() throws IOException {
    String name = "\\n\\u001b[31m" + "x".repeat(10_000);
    Path path =
        Files.write(
            folder.resolve("name"), FileBytes.safetensors("{\"" + name + "\":{}}", NO_DATA));
    String message = assertFault("must give tensor '??[31mxxx", () -> SafeTensors.open(path));
    assertTrue(message.length() < path.toString().length() + 200, message);
  }

  @Test
  void whatIsNoFileIsRefused() {
    assertFault("there is no such file", () -> SafeTensors.open(folder.resolve("absent")));
    assertFault("must be a regular file, but was a directory", () -> SafeTensors.open(folder));
  }

  private SafeTensors ofType(String dtype, String shape, byte[] data) throws IOException {
    return open(
        "{\"x\":{\"dtype\":\"%s\",\"shape\":%s,\"data_offsets\":[0,%d]}}"
            .formatted(dtype, shape, data.length),
        data);
  }

  private SafeTensors open(String header, byte[] data) throws IOException {
    Path path = folder.resolve("file.safetensors");
    return SafeTensors.open(Files.write(path, FileBytes.safetensors(header, data)));
  }

  static String assertFault(String fault, FileBytes.Action action) {
    String message = assertThrows(TensorFileException.class, action::run).getMessage();
    assertTrue(message.contains(fault), message);
    assertEquals(1, message.lines().count(), message);
    return message;
  }
}
