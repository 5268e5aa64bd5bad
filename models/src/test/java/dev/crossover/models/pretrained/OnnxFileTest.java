// SPDX-License-Identifier: Apache-2.0
package dev.crossover.models.pretrained;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.crossover.attention.random.Draws;
import dev.crossover.attention.tensor.Tensor;
import dev.crossover.attention.tensor.TensorFileException;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.function.Executable;

/// Weights out of ONNX files, well-formed and hostile.
class OnnxFileTest {
  private static final Path PATH = Path.of("model.onnx");
  private static final Tensor MATRIX = Draws.gaussian(1, 1.0, 3, 5);
  private static final Tensor BIAS = Draws.gaussian(2, 1.0, 5);

  private static OnnxBytes small() {
    return new OnnxBytes()
        .tensor("layer.bias", BIAS, true)
        .map("onnx::MatMul_885", MATRIX, "layer.bias", true);
  }

  private static OnnxFile read(OnnxBytes bytes) throws TensorFileException {
    return OnnxFile.read(PATH, bytes.toByteArray());
  }

  private static void assertFault(String part, Executable executable) {
    String message = assertThrows(TensorFileException.class, executable).getMessage();
    assertTrue(message.contains(part), message);
  }

  @Test
  void tensorsKeepTheirBitsAndShapes() throws TensorFileException {
    OnnxFile file = read(small());
    assertEquals(List.of("layer.bias", "onnx::MatMul_885"), file.names());
    assertArrayEquals(BIAS.data(), file.tensor("layer.bias").data());
    assertArrayEquals(new int[] {3, 5}, file.tensor("onnx::MatMul_885").shape());
    assertTrue(file.has("layer.bias"));
    assertFalse(file.has("layer"));
    assertFault("'layer'", () -> file.tensor("layer"));
  }

  @Test
  void aMatrixIsFoundByItsBiasOnEitherSideOfTheSum() throws TensorFileException {
    for (boolean first : new boolean[] {true, false}) {
      OnnxFile file =
          read(
              new OnnxBytes()
                  .tensor("other.bias", BIAS, false)
                  .map("wrong", Draws.gaussian(3, 1.0, 3, 5), "other.bias", first)
                  .tensor("layer.bias", BIAS, false)
                  .map("right", MATRIX, "layer.bias", first));
      assertArrayEquals(MATRIX.data(), file.mapOf("layer.bias").data());
    }
  }

  @Test
  void aBiasOfNoProductOrOfTwoIsRefused() throws TensorFileException {
    OnnxFile none = read(new OnnxBytes().tensor("b", BIAS, false).node("Add", "y", "b", "x"));
    assertFault("one product", () -> none.mapOf("b"));
    OnnxFile two = read(small().map("second", MATRIX, "layer.bias", false));
    assertFault("one product", () -> two.mapOf("layer.bias"));
  }

  @Test
  void whatIsNotHeldInRawFloatsIsRefusedByName() throws TensorFileException {
    byte[] dims = OnnxBytes.number(1, 1);
    byte[] name = OnnxBytes.field(8, "t");
    byte[] four = OnnxBytes.field(9, new byte[4]);
    OnnxFile typed =
        read(
            new OnnxBytes()
                .initialiser(dims, OnnxBytes.number(2, 1), name, OnnxBytes.field(4, new byte[4])));
    assertFault("float_data", () -> typed.tensor("t"));
    OnnxFile external =
        read(
            new OnnxBytes()
                .initialiser(dims, OnnxBytes.number(2, 1), name, OnnxBytes.number(14, 1)));
    assertFault("external data", () -> external.tensor("t"));
    OnnxFile integers = read(new OnnxBytes().initialiser(dims, OnnxBytes.number(2, 7), name, four));
    assertFault("type 7", () -> integers.tensor("t"));
  }

  @Test
  void dimensionsMustFitTheBytes() throws TensorFileException {
    byte[] float32 = OnnxBytes.number(2, 1);
    byte[] name = OnnxBytes.field(8, "t");
    for (long size : new long[] {2, -1, 1L << 31, 1L << 62, Long.MAX_VALUE}) {
      OnnxFile file =
          read(
              new OnnxBytes()
                  .initialiser(
                      OnnxBytes.number(1, size), float32, name, OnnxBytes.field(9, new byte[4])));
      assertFault("'t'", () -> file.tensor("t"));
    }
  }

  @Test
  void filesThatAreNoModelsAreRefused() {
    assertFault("has none", () -> OnnxFile.read(PATH, new byte[0]));
    assertFault("wire type", () -> OnnxFile.read(PATH, new byte[] {7 << 3 | 3}));
    assertFault("at most", () -> OnnxFile.read(PATH, new byte[] {7 << 3 | 2, 100, 0}));
    byte[] endless = new byte[12];
    Arrays.fill(endless, (byte) 0xff);
    assertFault("10 bytes", () -> OnnxFile.read(PATH, endless));
    assertFault("twice", () -> read(small().tensor("layer.bias", BIAS, false)));
  }

  /// Every file that differs in one byte, and every beginning, is read or refused; nothing else
  /// happens.
  @Test
  void damagedFilesAreReadOrRefused() {
    byte[] whole = small().toByteArray();
    int refused = 0;
    for (int at = 0; at < whole.length; at++) {
      for (int flip : new int[] {1, 0x80, 0xff}) {
        byte[] damaged = whole.clone();
        damaged[at] ^= (byte) flip;
        refused += isRefused(damaged) ? 1 : 0;
      }
      assertTrue(at == 0 || isRefused(Arrays.copyOf(whole, at)) || at > whole.length - 3);
    }
    assertTrue(refused > whole.length / 4, "refused " + refused);
  }

  private static boolean isRefused(byte[] bytes) {
    try {
      OnnxFile file = OnnxFile.read(PATH, bytes);
      for (String name : file.names()) {
        file.tensor(name);
      }
      file.mapOf("layer.bias");
      return false;
    } catch (TensorFileException e) {
      return true;
    }
  }
}
