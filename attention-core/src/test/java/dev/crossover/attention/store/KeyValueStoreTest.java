// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.store;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.Scratch;
import dev.crossover.attention.random.Draws;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

class KeyValueStoreTest {
  private static final int N = 37;
  private static final AttentionShape SHAPE = new AttentionShape(1, 2, 2, N, N, 16, 16, 8);

  static Stream<Storage> storages() {
    return Stream.of(
        Storage.F32,
        Storage.F16,
        Storage.BF16,
        Storage.INT8_ROW,
        Storage.grouped(8, 4, 8),
        Storage.grouped(4, 8, 16),
        Storage.grouped(2, 8, 8));
  }

  private static float[] keys() {
    return Draws.gaussian(1, 2, N, 16).data();
  }

  private static float[] values() {
    return Draws.gaussian(2, 2, N, 8).data();
  }

  private static KeyValueStore filled(Storage storage, AttentionShape capacity) {
    KeyValueStore store = new KeyValueStore(storage, capacity);
    store.append(keys(), values(), 0, N, N);
    return store;
  }

  private static float[] restored(KeyValueStore store, int head) {
    float[] rows = new float[store.positions() * 16];
    store.readKeys(head, 0, store.positions(), rows, 0);
    return rows;
  }

  /// The bounds of the documentation, with one rounding on top.
  @ParameterizedTest
  @MethodSource("storages")
  void restoredNumbersLieWithinTheStatedBound(Storage storage) {
    KeyValueStore store = filled(storage, SHAPE);
    float[] given = keys();
    for (int head = 0; head < 2; head++) {
      float[] rows = restored(store, head);
      for (int t = 0; t < N; t++) {
        for (int c = 0; c < 16; c++) {
          float x = given[(head * N + t) * 16 + c];
          assertEquals(x, rows[t * 16 + c], bound(storage, given, head, t, x), "row " + t);
        }
      }
    }
  }

  private static float bound(Storage storage, float[] given, int head, int t, float x) {
    float largest = 0;
    float low = Float.POSITIVE_INFINITY;
    float high = Float.NEGATIVE_INFINITY;
    for (int c = 0; c < 16; c++) {
      largest = Math.max(largest, Math.abs(given[(head * N + t) * 16 + c]));
    }
    for (float y : given) {
      low = Math.min(low, y);
      high = Math.max(high, y);
    }
    return switch (storage.kind()) {
      case F32 -> 0;
      case F16 -> Math.abs(x) / 2048;
      case BF16 -> Math.abs(x) / 256;
      case INT8_ROW -> largest / 254 * 1.0001f;
      case GROUPED -> (high - low) / (2 * ((1 << storage.bits()) - 1)) * 1.0001f;
    };
  }

  @ParameterizedTest
  @MethodSource("storages")
  void growingFromNothingGivesTheSameRows(Storage storage) {
    KeyValueStore small = filled(storage, SHAPE.withSeqLens(1, 1));
    KeyValueStore large = filled(storage, SHAPE);
    for (int head = 0; head < 2; head++) {
      assertArrayEquals(restored(large, head), restored(small, head));
    }
    assertEquals(large.bytes(), small.bytes());
  }

  @ParameterizedTest
  @MethodSource("storages")
  void aForkGrowsApart(Storage storage) {
    KeyValueStore store = filled(storage, SHAPE.withSeqLens(N + 8, N + 8));
    float[] before = restored(store, 1);
    KeyValueStore fork = store.fork();
    fork.append(keys(), values(), 3, 5, N);
    assertEquals(N, store.positions());
    assertEquals(N + 5, fork.positions());
    assertArrayEquals(before, restored(store, 1));
    store.append(keys(), values(), 3, 5, N);
    assertArrayEquals(restored(store, 0), restored(fork, 0));
  }

  @ParameterizedTest
  @MethodSource("storages")
  void truncatingAndAppendingAgainIsAsIfNothingHadBeenThere(Storage storage) {
    KeyValueStore store = new KeyValueStore(storage, SHAPE);
    store.append(keys(), values(), 0, N - 1, N);
    KeyValueStore expected = filled(storage, SHAPE);
    store.append(keys(), values(), 5, 1, N);
    store.truncate(N - 1);
    store.append(keys(), values(), N - 1, 1, N);
    assertArrayEquals(restored(expected, 0), restored(store, 0));
    assertThrows(IllegalArgumentException.class, () -> store.truncate(N + 1));
    store.truncate(0);
    assertEquals(0, store.positions());
    store.append(keys(), values(), 0, N, N);
    assertArrayEquals(restored(expected, 1), restored(store, 1));
  }

  @Test
  void everyHeadKeepsRowsOfItsOwn() {
    KeyValueStore store = filled(Storage.INT8_ROW, SHAPE);
    float[] first = restored(store, 0);
    float[] second = restored(store, 1);
    store.keep(new int[] {0, 7, 36, 1, 2, 3}, 3);
    assertEquals(3, store.positions());
    float[] row = new float[16];
    store.readKeys(0, 2, 3, row, 0);
    assertArrayEquals(java.util.Arrays.copyOfRange(first, 36 * 16, 37 * 16), row);
    store.readKeys(1, 0, 1, row, 0);
    assertArrayEquals(java.util.Arrays.copyOfRange(second, 16, 32), row);
    KeyValueStore grouped = filled(Storage.grouped(4, 4, 8), SHAPE);
    assertThrows(
        UnsupportedOperationException.class, () -> grouped.keep(new int[] {0, 1, 0, 1}, 2));
  }

  @Test
  void bytesAreThoseOfTheDocumentation() {
    assertEquals(2 * N * (16 + 8) * 4, filled(Storage.F32, SHAPE).bytes());
    assertEquals(2 * N * (16 + 8) * 2, filled(Storage.F16, SHAPE).bytes());
    assertEquals(2 * N * (16 + 8 + 2 * 4), filled(Storage.INT8_ROW, SHAPE).bytes());
    // of 37 rows 32 keys and 28 values are encoded: the 29th is when the next row arrives
    long keys = 32 * 16 / 2 + 2 * 32 * 16 / 8 * 4 + 5 * 16 * 4;
    long values = 28 * 8 / 2 + 2 * 28 * 4 + 9 * 8 * 4;
    assertEquals(2 * (keys + values), filled(Storage.grouped(4, 8, 8), SHAPE).bytes());
  }

  @Test
  void encodedRowsDoNotComeBack() {
    KeyValueStore store = filled(Storage.grouped(4, 8, 8), SHAPE);
    String message =
        assertThrows(IllegalStateException.class, () -> store.truncate(20)).getMessage();
    assertTrue(message.contains("encoded"), message);
  }

  @Test
  void sizesOfGroupsAreChecked() {
    assertThrows(IllegalArgumentException.class, () -> Storage.grouped(3, 8, 8));
    assertThrows(IllegalArgumentException.class, () -> Storage.grouped(4, 8, 12));
    assertThrows(IllegalArgumentException.class, () -> Storage.grouped(4, 0, 0));
    IllegalArgumentException thrown =
        assertThrows(
            IllegalArgumentException.class,
            () -> new KeyValueStore(Storage.grouped(4, 16, 16), SHAPE));
    assertTrue(String.valueOf(thrown.getMessage()).contains("valueDim"), thrown.getMessage());
  }

  @Test
  void attentionOverAStoreEqualsTheFormula() {
    int n = 4100;
    AttentionShape shape = new AttentionShape(1, 2, 1, n, n, 16, 16, 8);
    float[] k = Draws.gaussian(3, n, 16).data();
    float[] v = Draws.gaussian(4, n, 8).data();
    float[] q = Draws.gaussian(5, 2, 16).data();
    KeyValueStore store = new KeyValueStore(Storage.F32, shape);
    store.append(k, v, 0, n, n);
    boolean[] hidden = new boolean[n];
    for (int j = 0; j < n; j += 3) {
      hidden[j] = true;
      v[j * 8] = Float.NaN;
    }
    StoredAttention attention = new StoredAttention(new Scratch(), 2, 16, 8);
    float[] out = new float[16];
    attention.begin(q, 0, 2, 0.25f);
    attention.attend(store, 0, 0, n, hidden, 0);
    attention.finish(out, 0);
    for (int r = 0; r < 2; r++) {
      double sum = 0;
      double[] expected = new double[8];
      for (int j = 0; j < n; j++) {
        double score = 0;
        for (int c = 0; c < 16; c++) {
          score += 0.25 * q[r * 16 + c] * k[j * 16 + c];
        }
        double weight = hidden[j] ? 0 : Math.exp(score);
        sum += weight;
        for (int c = 0; c < 8 && !hidden[j]; c++) {
          expected[c] += weight * v[j * 8 + c];
        }
      }
      for (int c = 0; c < 8; c++) {
        assertEquals(expected[c] / sum, out[r * 8 + c], 2e-6, "row " + r + " column " + c);
      }
    }
  }

  /// A query meets what [KeyValueStore#readKeys] and [KeyValueStore#readValues] restore, from any
  /// position to any other, those in full precision included: alone it may meet the codes in
  /// registers. Products of 64 numbers, sums of 150 values, and what belongs to groups besides.
  @ParameterizedTest
  @MethodSource("wideStorages")
  void aQueryMeetsTheRestoredRows(Storage storage) {
    int n = 150;
    int dim = 64;
    AttentionShape shape = new AttentionShape(1, 1, 1, n, n, dim, dim, dim);
    KeyValueStore store = new KeyValueStore(storage, shape);
    store.append(Draws.gaussian(3, 1, n, dim).data(), Draws.gaussian(4, 1, n, dim).data(), 0, n, n);
    float[] q = Draws.gaussian(5, 1, dim).data();
    float[] w = Draws.uniform(6, 0, 1, 1, n).data();
    float[] rows = new float[n * dim];
    RowTile tile = new RowTile(new Scratch(), dim);
    for (int from : new int[] {0, 1, 31, 33, 70}) {
      for (int to : new int[] {from, from + 1, 71, 128, 149, n}) {
        float[] scores = new float[n];
        store.dots(0, from, to, 1, q, 0, scores, 0, n, tile);
        store.readKeys(0, from, to, rows, 0);
        for (int j = 0; j < to - from; j++) {
          double sum = 0;
          for (int c = 0; c < dim; c++) {
            sum += (double) q[c] * rows[j * dim + c];
          }
          assertEquals(sum, scores[j], 1e-4, "row " + j + " from " + from);
        }
        float[] out = new float[dim];
        store.mix(0, from, to, 1, w, 0, n, out, 0, tile);
        store.readValues(0, from, to, rows, 0);
        for (int c = 0; c < dim; c++) {
          double sum = 0;
          for (int j = 0; j < to - from; j++) {
            sum += (double) w[j] * rows[j * dim + c];
          }
          assertEquals(sum, out[c], 1e-4, "column " + c + " from " + from);
        }
      }
    }
  }

  static Stream<Storage> wideStorages() {
    return Stream.of(
        Storage.F16,
        Storage.INT8_ROW,
        Storage.grouped(8, 32, 32),
        Storage.grouped(4, 32, 32),
        Storage.grouped(4, 32, 64),
        Storage.grouped(4, 16, 32),
        Storage.grouped(8, 16, 16),
        Storage.grouped(4, 8, 8),
        Storage.grouped(2, 32, 32));
  }
}
