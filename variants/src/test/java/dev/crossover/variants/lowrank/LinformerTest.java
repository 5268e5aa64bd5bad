// SPDX-License-Identifier: Apache-2.0
package dev.crossover.variants.lowrank;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.crossover.attention.Attention;
import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.Mask;
import dev.crossover.attention.Tensors;
import dev.crossover.attention.random.Draws;
import dev.crossover.attention.tensor.Tensor;
import dev.crossover.attention.testing.AttentionContract;
import dev.crossover.attention.testing.Forward;
import dev.crossover.attention.testing.GoldenTests;
import dev.crossover.attention.testing.Oracle;
import dev.crossover.variants.lowrank.Linformer.Projection;
import dev.crossover.variants.lowrank.Linformer.Sharing;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.OptionalInt;
import java.util.stream.Stream;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestFactory;

class LinformerTest extends AttentionContract {

  @Override
  public Attention attention() {
    return new Linformer(5);
  }

  @Override
  public List<Attention> instances() {
    List<Attention> all = new ArrayList<>(List.of(attention()));
    for (Sharing sharing : Sharing.values()) {
      all.add(new Linformer(Projection.LEARNED, 7, sharing));
    }
    return all;
  }

  /// Beyond this the projection's blocks of 256 positions begin to add up.
  @Override
  public int[] blockBorders() {
    return new int[] {16, 64, 256};
  }

  @Override
  public Reference reference() {
    return (attention, shape, mask, inputs) -> {
      Tensor e = inputs.get("key_projection");
      Tensor f = inputs.has("value_projection") ? inputs.get("value_projection") : e;
      return attend(
          shape,
          inputs.get("q"),
          (b, h, a, c) -> projected(shape, mask, e, inputs.get("k"), b, h, a, c),
          (b, h, a, c) -> projected(shape, mask, f, inputs.get("v"), b, h, a, c),
          e.extent(2));
    };
  }

  /// softmax(q K̄ᵀ / √d) V̄ in double precision, K̄ and V̄ by element.
  static double[] attend(
      AttentionShape s, Tensor q, Oracle.Pair keys, Oracle.Pair values, int slots) {
    double[] out = new double[s.problems() * s.querySeqLen() * s.valueDim()];
    int d = s.headDim();
    for (int b = 0; b < s.batchSize(); b++) {
      for (int h = 0; h < s.numHeads(); h++) {
        double[][] k = new double[slots][d];
        double[][] v = new double[slots][s.valueDim()];
        for (int a = 0; a < slots; a++) {
          for (int c = 0; c < d; c++) {
            k[a][c] = keys.at(b, h, a, c);
          }
          for (int c = 0; c < s.valueDim(); c++) {
            v[a][c] = values.at(b, h, a, c);
          }
        }
        for (int i = 0; i < s.querySeqLen(); i++) {
          double[] weights = new double[slots];
          for (int a = 0; a < slots; a++) {
            for (int c = 0; c < d; c++) {
              weights[a] += q.data()[s.queryOffset(b, h) + i * d + c] * k[a][c] / Math.sqrt(d);
            }
          }
          double max = Arrays.stream(weights).max().orElse(0);
          double sum = 0;
          for (int a = 0; a < slots; a++) {
            weights[a] = Math.exp(weights[a] - max);
            sum += weights[a];
          }
          for (int a = 0; a < slots; a++) {
            for (int c = 0; c < s.valueDim(); c++) {
              out[s.outputOffset(b, h) + i * s.valueDim() + c] += weights[a] / sum * v[a][c];
            }
          }
        }
      }
    }
    return out;
  }

  private static double projected(
      AttentionShape s, Mask mask, Tensor matrix, Tensor rows, int b, int h, int a, int c) {
    int head = matrix.extent(1) == 1 ? 0 : h;
    int columns = matrix.extent(3);
    int width = rows.extent(3);
    int block = (b * s.numKeyValueHeads() + h / s.groupSize()) * s.keySeqLen() * width;
    double sum = 0;
    for (int j = 0; j < s.keySeqLen(); j++) {
      if (mask.isRealKey(b, j)) {
        sum +=
            (double) matrix.data()[(head * matrix.extent(2) + a) * columns + j]
                * rows.data()[block + j * width + c];
      }
    }
    return sum;
  }

  @TestFactory
  Stream<DynamicTest> goldenFiles() {
    return GoldenTests.of(Linformer.class);
  }

  @Test
  void identityProjectionsAreExactAttention() {
    AttentionShape shape = AttentionShape.of(2, 2, 21, 8);
    Tensors inputs = qkv(shape, 1).with("key_projection", identity(21));
    double[] exact = Oracle.softmax(new Linformer(21).exactTarget(shape, Mask.none(), inputs));
    Tensor out = Forward.of(new Linformer(21), Mask.none(), inputs);
    assertTrue(Forward.maxDifference(exact, out) < 2e-6);
  }

  /// A single weight divided by itself is 1 up to the roundings of product, reciprocal and product:
  /// each row within 1.5 units of the last place of the slot's value, so two rows within 3.
  @Test
  void oneSlotGivesEveryQueryTheSameRow() {
    AttentionShape shape = AttentionShape.of(1, 2, 12, 4);
    Tensor out = Forward.of(new Linformer(1), Mask.none(), qkv(shape, 2));
    for (int e = 0; e < out.size(); e++) {
      float first = out.data()[e / 48 * 48 + e % 4];
      assertEquals(first, out.data()[e], 3 * Math.ulp(first));
    }
  }

  @Test
  void permutingPositionsWithTheColumnsChangesNothing() {
    AttentionShape shape = AttentionShape.of(1, 1, 30, 8);
    Tensors inputs = qkv(shape, 3).with("key_projection", Draws.gaussian(9, 0.4, 1, 1, 6, 30));
    Tensors reversed =
        Tensors.qkv(
                inputs.get("q"), reversedRows(inputs.get("k"), 8), reversedRows(inputs.get("v"), 8))
            .with("key_projection", reversedColumns(inputs.get("key_projection"), 30));
    Tensor before = Forward.of(new Linformer(6), Mask.none(), inputs);
    Tensor after = Forward.of(new Linformer(6), Mask.none(), reversed);
    assertTrue(Forward.maxDifference(before, after) < 1e-5);
  }

  @Test
  void onlyTheLeadingColumnsOfLongerMatricesCount() {
    AttentionShape shape = AttentionShape.of(1, 2, 13, 8);
    Tensor matrix = Draws.gaussian(5, 1, 1, 4, 24);
    Tensor poisoned = matrix.copy();
    Tensor leading = Tensor.zeros(1, 1, 4, 13);
    for (int a = 0; a < 4; a++) {
      System.arraycopy(matrix.data(), a * 24, leading.data(), a * 13, 13);
      Arrays.fill(poisoned.data(), a * 24 + 13, (a + 1) * 24, Float.NaN);
    }
    Linformer longer =
        new Linformer(
            Projection.LEARNED,
            4,
            Sharing.KEY_VALUE,
            OptionalInt.of(24),
            OptionalInt.empty(),
            OptionalInt.empty(),
            OptionalInt.empty(),
            42);
    Tensor expected =
        Forward.of(new Linformer(4), Mask.none(), qkv(shape, 5).with("key_projection", leading));
    Tensor out = Forward.of(longer, Mask.none(), qkv(shape, 5).with("key_projection", poisoned));
    assertEquals(0, Forward.maxDifference(expected, out));
    var error =
        assertThrows(
            IllegalArgumentException.class,
            () -> longer.plan(AttentionShape.of(1, 1, 25, 4), Mask.none(), 1));
    assertTrue(error.getMessage().contains("max_seq_len (24)"), error.getMessage());
  }

  @Test
  void sharingDecidesWhichHeadsGetWhichMatrix() {
    AttentionShape shape = AttentionShape.of(1, 2, 20, 8);
    Tensor both = Draws.gaussian(7, 0.5, 1, 2, 6, 20);
    Tensor first = Tensor.of(Arrays.copyOf(both.data(), 120), 1, 1, 6, 20);
    Tensors inputs = qkv(shape, 6);
    Tensor none =
        Forward.of(
            new Linformer(Projection.LEARNED, 6, Sharing.NONE),
            Mask.none(),
            inputs.with("key_projection", both).with("value_projection", both));
    Tensor headwise =
        Forward.of(
            new Linformer(Projection.LEARNED, 6, Sharing.HEADWISE),
            Mask.none(),
            inputs.with("key_projection", first).with("value_projection", first));
    Tensor keyValue =
        Forward.of(new Linformer(6), Mask.none(), inputs.with("key_projection", first));
    assertEquals(0, Forward.maxDifference(headwise, keyValue), "the same F = E");
    for (int e = 0; e < none.size(); e++) {
      if (e < 160) {
        assertEquals(headwise.data()[e], none.data()[e], "head 0 has the shared matrix");
      }
    }
    assertTrue(Forward.maxDifference(headwise, none) > 0.1, "head 1 has its own");
  }

  @Test
  void errorAgainstExactAttentionFallsWithTheProjectedLength() {
    AttentionShape shape = AttentionShape.of(1, 2, 64, 8);
    Tensors inputs = qkv(shape, 8);
    double[] exact = Oracle.softmax(new Linformer(1).exactTarget(shape, Mask.none(), inputs));
    double[] mean = new double[2];
    int[] windows = {16, 1};
    for (int w = 0; w < 2; w++) {
      Linformer pooled = new Linformer(Projection.MEAN_POOL, 64 / windows[w], Sharing.KEY_VALUE);
      mean[w] = Forward.maxDifference(exact, Forward.of(pooled, Mask.none(), inputs));
    }
    assertTrue(mean[1] < 2e-6 && mean[0] > 0.05, Arrays.toString(mean));
  }

  @Test
  void causalOrderIsRefusedByName() {
    var error =
        assertThrows(
            IllegalArgumentException.class,
            () -> new Linformer(4).plan(AttentionShape.of(1, 1, 9, 4), Mask.causal(), 1));
    assertTrue(error.getMessage().startsWith("linformer: mask must not be causal"));
    assertFalse(new Linformer(4).capabilities().decoding());
  }

  static Tensors qkv(AttentionShape s, long seed) {
    int[] sizes = {s.batchSize(), s.numHeads(), s.keySeqLen(), s.headDim()};
    return Tensors.qkv(
        Draws.gaussian(seed * 10, sizes),
        Draws.gaussian(seed * 10 + 1, sizes),
        Draws.gaussian(seed * 10 + 2, sizes));
  }

  private static Tensor identity(int n) {
    Tensor matrix = Tensor.zeros(1, 1, n, n);
    for (int a = 0; a < n; a++) {
      matrix.data()[a * n + a] = 1;
    }
    return matrix;
  }

  private static Tensor reversedRows(Tensor x, int width) {
    Tensor y = Tensor.zeros(x.shape());
    int rows = x.size() / width;
    for (int r = 0; r < rows; r++) {
      System.arraycopy(x.data(), r * width, y.data(), (rows - 1 - r) * width, width);
    }
    return y;
  }

  private static Tensor reversedColumns(Tensor x, int columns) {
    Tensor y = Tensor.zeros(x.shape());
    for (int e = 0; e < x.size(); e++) {
      y.data()[e] = x.data()[e / columns * columns + columns - 1 - e % columns];
    }
    return y;
  }
}
