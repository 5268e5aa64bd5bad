// SPDX-License-Identifier: Apache-2.0
package dev.crossover.variants.score;

import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.Scratch;
import dev.crossover.attention.TokenSession;
import dev.crossover.attention.exact.ScoreRows;
import dev.crossover.attention.kernel.KeyPanels;
import dev.crossover.attention.kernel.SoftmaxTile;
import dev.crossover.attention.store.KeyValueStore;
import dev.crossover.attention.store.Storage;

/// Decoding of [Differential]: caches the rotated keys of both maps and the values they share.
///
/// Floats lie packed as the tile reads them; other rows are restored and packed 128 at a time.
final class DifferentialSession extends TokenSession {
  private final Differential differential;
  private final int d = shape.headDim();
  private final int dv = shape.valueDim();
  private final int group = shape.groupSize();
  private final int valueHeads = shape.batchSize() * shape.numKeyValueHeads();
  private static final int TILE = 128;

  private final boolean floats;

  /// Of every key head where rows are floats, of some restored rows otherwise.
  private final KeyPanels[] keys;

  private final float[] values;
  private final KeyValueStore storedKeys;
  private final KeyValueStore storedValues;
  private final float[] restored;
  private final SoftmaxTile tile;
  private final ScoreRows rotate;
  private final float[] rows;

  /// What the maps of the heads of one key/value head give, the first map's rows before the
  /// second's.
  private final float[] maps;

  DifferentialSession(Differential differential, AttentionShape shape, Storage storage) {
    super(differential, shape);
    this.differential = differential;
    Scratch scratch = new Scratch();
    floats = storage.kind() == Storage.Kind.F32;
    keys = new KeyPanels[floats ? 2 * valueHeads : 1];
    for (int head = 0; head < keys.length; head++) {
      keys[head] = new KeyPanels(scratch, floats ? shape.keySeqLen() : TILE, d);
    }
    int slots = floats ? shape.keySeqLen() : TILE;
    values = scratch.floats((long) (floats ? valueHeads : 1) * slots * dv);
    storedKeys = new KeyValueStore(storage, cached(2, d), true);
    storedValues = new KeyValueStore(storage, cached(1, dv), true);
    restored = scratch.floats(floats ? 0 : (long) TILE * d);
    tile = new SoftmaxTile(scratch, group, d, dv);
    rotate = new ScoreRows(scratch, differential.rotation(), d);
    rows = scratch.floats((long) group * d);
    maps = scratch.floats(2L * group * dv);
  }

  @Override
  protected void take(int t, int tokens) {
    rotate.frequencies(hasInput("rope_frequencies") ? input("rope_frequencies") : null);
    for (int head = 0; head < 2 * valueHeads; head++) {
      rotate.forward(input("k"), (head * tokens + t) * d, null, position(), rows, 0);
      if (floats) {
        keys[head].replace(rows, 0, position());
      } else {
        storedKeys.append(head, rows, 0, rows, 0);
      }
    }
    for (int head = 0; head < valueHeads; head++) {
      int from = (head * tokens + t) * dv;
      if (floats) {
        int to = (head * shape.keySeqLen() + position()) * dv;
        System.arraycopy(input("v"), from, values, to, dv);
      } else {
        storedValues.append(head, input("v"), from, input("v"), from);
      }
    }
  }

  /// Heads and width of what is stored otherwise than as floats; no room where that is nothing.
  private AttentionShape cached(int perValueHead, int width) {
    int heads = shape.numKeyValueHeads() * perValueHead;
    int slots = floats ? 0 : shape.keySeqLen();
    return new AttentionShape(shape.batchSize(), heads, heads, slots, slots, width, width, width);
  }

  @Override
  protected void answer(float[] output) {
    float[] weight = hasInput("norm_weight") ? input("norm_weight") : null;
    double lambda =
        differential.lambda(
            DifferentialMaps.product(inputs(), 0), DifferentialMaps.product(inputs(), 2));
    for (int head = 0; head < valueHeads; head++) {
      for (int keyHead = 2 * head; keyHead < 2 * head + 2; keyHead++) {
        attend(keyHead, head);
      }
      for (int map = 2 * group * head; map < 2 * group * (head + 1); map++) {
        int source = sourceOf(map);
        if (source % 2 == 0) {
          int first = map % (2 * group);
          int second = differential.second(shape, first);
          DifferentialMaps.combine(
              differential,
              dv,
              lambda,
              maps,
              first * dv,
              second * dv,
              weight,
              output,
              source / 2 * dv);
        }
      }
    }
  }

  /// The maps of all query heads that read one key head.
  private void attend(int keyHead, int valueHead) {
    for (int r = 0; r < group; r++) {
      int source = sourceOf(keyHead * group + r);
      rotate.forward(input("q"), source * d, null, position(), rows, r * d);
    }
    tile.begin(rows, 0, d, group, (float) differential.scaleFor(shape));
    int seen = position() + 1;
    if (floats) {
      tile.attend(keys[keyHead], values, valueHead * shape.keySeqLen() * dv, dv, 0, seen);
    }
    for (int from = 0; !floats && from < seen; from += TILE) {
      int count = Math.min(TILE, seen - from);
      storedKeys.readKeys(keyHead, from, from + count, restored, 0);
      keys[0].pack(restored, 0, d, count, 0);
      storedValues.readKeys(valueHead, from, from + count, values, 0);
      tile.attend(keys[0], values, 0, dv, 0, count);
    }
    tile.finish(maps, keyHead % 2 * group * dv, dv);
  }

  /// The head of `q`, counted over the batch, whose map is a given head of the exact attention.
  private int sourceOf(int map) {
    int perEntry = 2 * shape.numHeads();
    return map / perEntry * perEntry + differential.source(shape, map % perEntry);
  }

  @Override
  public long stateBytes() {
    return floats
        ? (long) valueHeads * position() * (2L * d + dv) * Float.BYTES
        : storedKeys.bytes() + storedValues.bytes();
  }

  @Override
  protected void forget() {
    storedKeys.truncate(0);
    storedValues.truncate(0);
  }
}
