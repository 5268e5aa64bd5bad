// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.tensor;

import static dev.crossover.attention.tensor.SafeTensorsTest.assertFault;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Set;
import java.util.SplittableRandom;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

/// Reading `.npy` and `.npz` files assembled byte by byte from the formats' definitions.
class NumpyFilesTest {
  private static final byte[] NO_DATA = {};

  @TempDir Path folder;

  @ParameterizedTest
  @ValueSource(ints = {1, 2, 3})
  void everyVersionIsReadInBothOrders(int version) throws IOException {
    ByteBuffer data = ByteBuffer.allocate(48);
    for (int i = 0; i < 6; i++) {
      data.putDouble(i);
    }
    String literal = "{'descr': '>f8', 'fortran_order': %s, 'shape': (2, 3), }          \n";
    byte[] rows = FileBytes.npy(version, literal.formatted("False"), data.array());
    assertArrayEquals(new double[] {0, 1, 2, 3, 4, 5}, open(rows).doubles(NpyFile.NAME));
    byte[] columns = FileBytes.npy(version, literal.formatted("True"), data.array());
    NpyFile file = open(columns);
    assertArrayEquals(new double[] {0, 2, 4, 1, 3, 5}, file.doubles(NpyFile.NAME));
    assertArrayEquals(new float[] {0, 2, 4, 1, 3, 5}, file.tensor(NpyFile.NAME).data());
    assertArrayEquals(new long[] {2, 3}, file.shape(NpyFile.NAME));
    assertEquals(List.of(NpyFile.NAME), file.names());
  }

  @Test
  void everyTypeIsReadInBothByteOrders() throws IOException {
    assertType(DType.F16, "f2", ByteBuffer.allocate(2).putShort((short) 0xc500), -5);
    assertType(DType.F32, "f4", ByteBuffer.allocate(4).putInt(0xc0a00000), -5);
    assertType(DType.F64, "f8", ByteBuffer.allocate(8).putLong(0xc014L << 48), -5);
    assertType(DType.I32, "i4", ByteBuffer.allocate(4).putInt(-5), -5);
    assertType(DType.I64, "i8", ByteBuffer.allocate(8).putLong(-5), -5);
    assertType(DType.U8, "u1", ByteBuffer.allocate(1).put((byte) 251), 251);
    assertType(DType.BOOL, "b1", ByteBuffer.allocate(1).put((byte) 1), 1);
  }

  private void assertType(DType dtype, String type, ByteBuffer big, double value)
      throws IOException {
    byte[] little = new byte[big.capacity()];
    for (int i = 0; i < little.length; i++) {
      little[i] = big.get(little.length - 1 - i);
    }
    for (String order : big.capacity() == 1 ? List.of("|") : List.of("<", ">")) {
      NpyFile file =
          open(FileBytes.npy(order + type, "()", order.equals(">") ? big.array() : little));
      assertEquals(dtype, file.dtype(NpyFile.NAME));
      assertArrayEquals(new double[] {value}, file.doubles(NpyFile.NAME));
      assertArrayEquals(new float[] {(float) value}, file.tensor(NpyFile.NAME).data());
    }
  }

  @Test
  void theLiteralMayBeWrittenInEveryWayThatNumpyReads() throws IOException {
    byte[] two = {1, 2};
    for (String literal :
        new String[] {
          "{\"shape\": (2,), \"fortran_order\": False, \"descr\": \"|u1\"}",
          "{'descr':'<u1','fortran_order':True,'shape':(2L,),}",
          "{ 'descr' : '|u1' , 'fortran_order' : False , 'shape' : ( 1 , 2 , ) } \n"
        }) {
      assertArrayEquals(new int[] {1, 2}, open(FileBytes.npy(1, literal, two)).ints("array"));
    }
  }

  @Test
  void aFileThatNumpyWroteIsRead() throws Exception {
    TensorFile file =
        TensorFiles.open(Path.of(getClass().getResource("/tensor/numpy.npz").toURI()));
    assertEquals(List.of("weights", "flags", "steps"), file.names());
    assertArrayEquals(new long[] {2, 3}, file.shape("weights"));
    assertArrayEquals(new double[] {1.5, -2, 3.25, 0, 65504, -0.125}, file.doubles("weights"));
    assertArrayEquals(new int[] {1, 0, 1}, file.ints("flags"));
    assertArrayEquals(new int[] {-5}, file.ints("steps"));
    assertEquals(0, file.shape("steps").length);
  }

  static Stream<Arguments> hostileLiterals() {
    String start = "{'descr': '|u1', 'fortran_order': False, 'shape': ";
    return Stream.of(
        Arguments.of("", "must hold '{' here"),
        Arguments.of("{}", "must hold descr, fortran_order and shape"),
        Arguments.of("{'descr': '|u1'}", "must hold descr, fortran_order and shape"),
        Arguments.of(start + "(10)}", "must write a shape of one dimension as (n,)"),
        Arguments.of(start + "[10]}", "must hold '(' here"),
        Arguments.of(start + "(-10,)}", "must hold an integer >= 0 here"),
        Arguments.of(start + "(1.0,10)}", "must hold ',' or ')' here"),
        Arguments.of(start + "(010,)}", "must hold an integer >= 0 here"),
        Arguments.of(start + "(,)}", "must hold an integer >= 0 here"),
        Arguments.of(start + "(10,,)}", "must hold an integer >= 0 here"),
        Arguments.of(start + "(10,)", "must hold ',' or '}' here"),
        Arguments.of(start + "(10,)} + 1", "must end after its dictionary"),
        Arguments.of(start + "(10,), 'shape': (10,)}", "two of 'shape'"),
        Arguments.of(start + "(10,), 'descr': '|u1'}", "two of 'descr'"),
        Arguments.of(start + "(10,), 'order': 1}", "an unknown 'order'"),
        Arguments.of(start + "(9,)}", "must hold the 9 bytes of its shape"),
        Arguments.of(start + "(11,)}", "must hold the 11 bytes of its shape"),
        Arguments.of(start + "(10000000000,)}", "must hold the 10000000000 bytes of its shape"),
        Arguments.of(start + "(9223372036854775807,)}", "shape overflows"),
        Arguments.of(start + "(9223372036854775808,)}", "beyond 2^63 - 1"),
        Arguments.of(start + "(4294967296,4294967296,10)}", "shape overflows"),
        Arguments.of(start + "(" + "1,".repeat(100) + ")}", "more than 64 numbers"),
        Arguments.of(start + "(".repeat(9_000), "must hold an integer >= 0 here"),
        Arguments.of("{".repeat(9_000), "must hold a string here"),
        Arguments.of("{'descr': [('a', '<f4')], ", "must hold a string here"),
        Arguments.of("{'descr': [('a', '<f4'", "ends within a list"),
        Arguments.of("{'descr': ['a', [", "ends within a list"),
        Arguments.of("{'descr': '<f4x', " + start.substring(16) + "(10,)}", "but was '<f4x'"),
        Arguments.of("{'descr': '|f4', " + start.substring(16) + "(10,)}", "but was '|f4'"),
        Arguments.of("{'descr': '', " + start.substring(16) + "(10,)}", "but was ''"),
        Arguments.of("{'de\\x73cr': '|u1'", "must hold plain ASCII in its strings"),
        Arguments.of("{'descré': '|u1'", "must hold plain ASCII in its strings"),
        Arguments.of("{'descr", "ends within a string"),
        Arguments.of("{'fortran_order': 0}", "must hold True or False here"),
        Arguments.of("{'fortran_order': Tru", "must hold True or False here"));
  }

  @ParameterizedTest
  @MethodSource("hostileLiterals")
  void hostileLiteralsAreRefusedInOneLineThatNamesFileAndFault(String literal, String fault)
      throws IOException {
    for (int version = 1; version <= 3; version++) {
      byte[] bytes = FileBytes.npy(version, literal, new byte[10]);
      Path npy = Files.write(folder.resolve("x.npy"), bytes);
      String message = assertFault(fault, () -> NpyFile.open(npy));
      assertTrue(message.startsWith(npy.toString()), message);
      long allocated = FileBytes.allocatedBy(() -> NpyFile.open(npy));
      assertTrue(allocated < literal.length() + 50_000, () -> allocated + " bytes");
      Path npz = Files.write(folder.resolve("x.npz"), FileBytes.zip(true, "a.npy", bytes));
      assertFault("entry 'a': ", () -> NpzFile.open(npz));
      assertFault(fault, () -> NpzFile.open(npz));
    }
  }

  /// What NumPy writes for arrays of strings, objects, complex numbers, times, small and unsigned
  /// integers, and records; the last as `np.zeros(2, [('a', '<f4'), ('b', '<i4', (2,))])` does.
  @ParameterizedTest
  @ValueSource(
      strings = {
        "'<U5'",
        "'|S3'",
        "'|O'",
        "'<c8'",
        "'<M8[ns]'",
        "'|i1'",
        "'<i2'",
        "'<u2'",
        "'<u4'",
        "'<u8'",
        "'<f16'",
        "'|V12'",
        "[('a', '<f4'), ('b', '<i4', (2,))]"
      })
  void arraysOfOtherTypesArePassedOverUnlessTheyAreAskedFor(String descr) throws IOException {
    String literal = "{'descr': " + descr + ", 'fortran_order': False, 'shape': (2,), }";
    byte[] other = FileBytes.npy(1, literal, new byte[23]);
    byte[] ours = FileBytes.npy("|u1", "(2,)", new byte[] {1, 2});
    NpzFile file = openZip(FileBytes.zip(true, "labels.npy", other, "q.npy", ours));
    assertEquals(List.of("q"), file.names());
    assertArrayEquals(new int[] {1, 2}, file.ints("q"));
    String type = descr.replace("'<", "<").replaceAll("^'|'$", "");
    assertEquals(Set.of("labels"), file.unread().keySet());
    assertFault("tensor 'labels' must be of one of the types [F16,", () -> file.tensor("labels"));
    if (!descr.startsWith("[")) {
      assertFault("but was '" + type + "'", () -> file.doubles("labels"));
    }
    Path npy = Files.write(folder.resolve("labels.npy"), other);
    assertFault("descr must be a byte order", () -> NpyFile.open(npy));
  }

  @Test
  void startsThatPromiseWhatDoesNotFollowAreRefused() throws IOException {
    byte[] whole =
        FileBytes.npy(2, "{'descr': '|u1', 'fortran_order': False, 'shape': ()}", NO_DATA);
    assertStart(whole, 0, 'X', "must begin with \\x93NUMPY");
    assertStart(whole, 6, 0, "version must be 1.0, 2.0 or 3.0, but was 0.0");
    assertStart(whole, 6, 255, "but was 255.0");
    assertStart(whole, 7, 1, "but was 2.1");
    assertStart(whole, 8, 200, "header length must be at most 53, but was 200");
    assertStart(whole, 11, 0x40, "header length must be at most 10000, but was 1073741877");
    assertStart(whole, 11, 0xff, "header length must be at most 10000, but was 4278190133");
  }

  private void assertStart(byte[] whole, int index, int value, String fault) throws IOException {
    byte[] bytes = whole.clone();
    bytes[index] = (byte) value;
    Path path = Files.write(folder.resolve("start.npy"), bytes);
    assertFault(fault, () -> NpyFile.open(path));
    assertTrue(FileBytes.allocatedBy(() -> NpyFile.open(path)) < 50_000);
  }

  @Test
  void everyTruncationIsRefused() throws IOException {
    byte[] npy = FileBytes.npy("<f4", "(2,)", new byte[8]);
    for (int length = 0; length < npy.length; length++) {
      Path path = Files.write(folder.resolve("cut.npy"), Arrays.copyOf(npy, length));
      assertFault("", () -> NpyFile.open(path));
    }
    byte[] zip = FileBytes.zip(true, "a.npy", npy);
    for (int length = 0; length < zip.length; length++) {
      Path path = Files.write(folder.resolve("cut.npz"), Arrays.copyOf(zip, length));
      assertFault("", () -> NpzFile.open(path));
    }
  }

  @ParameterizedTest
  @ValueSource(booleans = {true, false})
  void anArchiveHoldsItsArraysUnderTheirNames(boolean deflated) throws IOException {
    NpzFile file =
        openZip(
            FileBytes.zip(
                deflated,
                "layer/q.npy",
                FileBytes.npy("|u1", "(2,)", new byte[] {1, 2}),
                "README.txt",
                new byte[] {7},
                "empty.npy",
                FileBytes.npy("<f8", "(0, 4)", NO_DATA)));
    assertEquals(List.of("layer/q", "empty"), file.names());
    assertArrayEquals(new int[] {1, 2}, file.ints("layer/q"));
    assertArrayEquals(new int[] {0, 4}, file.tensor("empty").shape());
    assertTrue(file.metadata().isEmpty());
    assertEquals(List.of(), openZip(FileBytes.zip(deflated)).names());
  }

  @Test
  void anEntryThatClaimsMoreThanDeflateCanYieldIsRefusedOnOpening() throws IOException {
    // The directory's size and the array's shape agree on 4 GB in a file of 200 bytes.
    byte[] npy = FileBytes.npy("|u1", "(4000000000,)", NO_DATA);
    byte[] zip = FileBytes.zip(true, "a.npy", npy);
    claimSize(zip, (int) (4_000_000_000L + npy.length));
    Path path = Files.write(folder.resolve("bomb.npz"), zip);
    assertFault("bytes cannot hold", () -> NpzFile.open(path));
    assertTrue(FileBytes.allocatedBy(() -> NpzFile.open(path)) < 100_000);
  }

  @Test
  void anEntryThatClaimsMoreThanItHoldsIsFoundOutBeforeMemoryIsAllocated() throws IOException {
    byte[] noise = new byte[10_000];
    new SplittableRandom(1).nextBytes(noise);
    byte[] npy = FileBytes.npy("|u1", "(9000000,)", noise);
    byte[] zip = FileBytes.zip(true, "a.npy", npy);
    claimSize(zip, 9_000_000 + npy.length - noise.length);
    Path path = Files.write(folder.resolve("claim.npz"), zip);
    NpzFile file = NpzFile.open(path);
    // The inflater notices in another way than we do.
    assertFault("", () -> file.tensor("a"));
    assertTrue(FileBytes.allocatedBy(() -> file.tensor("a")) < 500_000);
  }

  @Test
  void anEntryThatHoldsMoreThanItClaimsIsRefused() throws IOException {
    byte[] npy = FileBytes.npy("|u1", "(5,)", new byte[500]);
    byte[] zip = FileBytes.zip(true, "a.npy", npy);
    claimSize(zip, npy.length - 495);
    NpzFile file = openZip(zip);
    assertFault("entry 'a': holds more than it claims", () -> file.tensor("a"));
  }

  @Test
  void anEntryThatEndsBeforeItsLastElementIsRefused() throws IOException {
    byte[] npy = FileBytes.npy("|u1", "(6,)", new byte[5]);
    byte[] zip = FileBytes.zip(true, "a.npy", npy);
    claimSize(zip, npy.length + 1);
    NpzFile file = openZip(zip);
    assertFault("tensor 'a' ends too early", () -> file.tensor("a"));
  }

  @Test
  void aDamagedElementDoesNotMatchTheChecksum() throws IOException {
    byte[] npy = FileBytes.npy("|u1", "(5,)", "12345".getBytes(StandardCharsets.US_ASCII));
    byte[] zip = FileBytes.zip(false, "a.npy", npy);
    zip[new String(zip, StandardCharsets.ISO_8859_1).indexOf("12345")] ^= 1;
    NpzFile file = openZip(zip);
    assertFault("entry 'a': does not match its checksum", () -> file.tensor("a"));
  }

  @Test
  void namesThatOccurTwiceAndEntriesThatOverlapAreRefused() throws IOException {
    byte[] npy = FileBytes.npy("|u1", "(500,)", new byte[500]);
    byte[] zip = FileBytes.zip(false, "a.npy", npy, "b.npy", npy);
    byte[] twice = zip.clone();
    int directory = indexOfDirectory(zip, 1);
    twice[directory + 46] = 'a';
    Path path = Files.write(folder.resolve("twice.npz"), twice);
    assertFault("entry 'a': occurs twice", () -> NpzFile.open(path));

    byte[] overlapping = FileBytes.zip(false, "a.npy", npy, "b.npy", npy, "c.npy", npy);
    // All three directory entries are there, but the bytes of two entries are cut out.
    int first = indexOfDirectory(overlapping, 0);
    int entry = 30 + "a.npy".length() + npy.length;
    ByteBuffer cut = FileBytes.little(overlapping.length - 2 * entry);
    cut.put(overlapping, 0, entry).put(overlapping, first, overlapping.length - first);
    for (int i = 0; i < 3; i++) {
      cut.putInt(indexOfDirectory(cut.array(), i) + 42, 0);
    }
    cut.putInt(cut.capacity() - 6, entry);
    Path overlap = Files.write(folder.resolve("overlap.npz"), cut.array());
    assertFault("must not overlap other entries", () -> NpzFile.open(overlap));
  }

  @Test
  void formatsAreKnownByExtensionAndOtherwiseByTheirStart() throws IOException {
    byte[] npy = FileBytes.npy("|u1", "(1,)", new byte[] {3});
    byte[] npz = FileBytes.zip(true, "array.npy", npy);
    byte[] safetensors =
        FileBytes.safetensors(
            "{\"array\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}", new byte[] {3});
    for (String name : new String[] {"x.npy", "x.NPY", "x.bin", "x"}) {
      assertEquals(3, openAny(name, npy).ints("array")[0]);
    }
    for (String name : new String[] {"x.npz", "x.zip"}) {
      assertEquals(3, openAny(name, npz).ints("array")[0]);
    }
    for (String name : new String[] {"x.safetensors", "x.dat"}) {
      assertEquals(3, openAny(name, safetensors).ints("array")[0]);
    }
    assertFault("must begin with \\x93NUMPY", () -> openAny("y.npy", npz));
    assertFault("is not a sound ZIP archive", () -> openAny("y.npz", npy));
    assertFault("begins like none of them", () -> openAny("y", new byte[] {1, 2, 3}));
    assertFault("begins like none of them", () -> openAny("y", NO_DATA));
    assertFault("there is no such file", () -> TensorFiles.open(folder.resolve("absent")));
    assertFault("there is no such file", () -> TensorFiles.open(folder.resolve("absent.npz")));
    assertFault("was a directory", () -> TensorFiles.open(folder));
  }

  private TensorFile openAny(String name, byte[] bytes) throws IOException {
    return TensorFiles.open(Files.write(folder.resolve(name), bytes));
  }

  private NpyFile open(byte[] bytes) throws IOException {
    return NpyFile.open(Files.write(folder.resolve("file.npy"), bytes));
  }

  private NpzFile openZip(byte[] bytes) throws IOException {
    return NpzFile.open(Files.write(folder.resolve("file.npz"), bytes));
  }

  /// Writes a size into the directory entry of an archive's first file.
  private static void claimSize(byte[] zip, int size) {
    ByteBuffer.wrap(zip)
        .order(java.nio.ByteOrder.LITTLE_ENDIAN)
        .putInt(indexOfDirectory(zip, 0) + 24, size);
  }

  private static int indexOfDirectory(byte[] zip, int entry) {
    String text = new String(zip, StandardCharsets.ISO_8859_1);
    int at = -1;
    for (int i = 0; i <= entry; i++) {
      at = text.indexOf("PK\1\2", at + 1);
    }
    return at;
  }
}
