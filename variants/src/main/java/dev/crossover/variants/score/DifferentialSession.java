// SPDX-License-Identifier: Apache-2.0
package dev.crossover.variants.score;

import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.Scratch;
import dev.crossover.attention.TokenSession;
import dev.crossover.attention.exact.ScoreRows;
import dev.crossover.attention.kernel.KeyPanels;
import dev.crossover.attention.kernel.SoftmaxTile;

/// Decoding of [Differential]: caches the rotated keys of both maps and the values they share.
final class DifferentialSession extends TokenSession {
  private final Differential differential;
  private final int d = shape.headDim();
  private final int dv = shape.valueDim();
  private final int group = shape.groupSize();
  private final int valueHeads = shape.batchSize() * shape.numKeyValueHeads();
  private final KeyPanels[] keys = new KeyPanels[2 * valueHeads];
  private final float[] values;
  private final SoftmaxTile tile;
  private final ScoreRows rotate;
  private final float[] rows;

  /// What the maps of the heads of one key/value head give, the first map's rows before the
  /// second's.
  private final float[] maps;

  DifferentialSession(Differential differential, AttentionShape shape) {
    super(differential, shape);
    this.differential = differential;
    Scratch scratch = new Scratch();
    for (int head = 0; head < keys.length; head++) {
      keys[head] = new KeyPanels(scratch, shape.keySeqLen(), d);
    }
    values = scratch.floats((long) valueHeads * shape.keySeqLen() * dv);
    tile = new SoftmaxTile(scratch, group, d, dv);
    rotate = new ScoreRows(scratch, differential.rotation(), d);
    rows = scratch.floats((long) group * d);
    maps = scratch.floats(2L * group * dv);
  }

  @Override
  protected void take(int t, int tokens) {
    rotate.frequencies(hasInput("rope_frequencies") ? input("rope_frequencies") : null);
    for (int head = 0; head < keys.length; head++) {
      rotate.forward(input("k"), (head * tokens + t) * d, null, position(), rows, 0);
      keys[head].replace(rows, 0, position());
    }
    for (int head = 0; head < valueHeads; head++) {
      int to = (head * shape.keySeqLen() + position()) * dv;
      System.arraycopy(input("v"), (head * tokens + t) * dv, values, to, dv);
    }
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
    tile.attend(keys[keyHead], values, valueHead * shape.keySeqLen() * dv, dv, 0, position() + 1);
    tile.finish(maps, keyHead % 2 * group * dv, dv);
  }

  /// The head of `q`, counted over the batch, whose map is a given head of the exact attention.
  private int sourceOf(int map) {
    int perEntry = 2 * shape.numHeads();
    return map / perEntry * perEntry + differential.source(shape, map % perEntry);
  }

  @Override
  public long stateBytes() {
    return (long) valueHeads * position() * (2L * d + dv) * Float.BYTES;
  }
}
