// SPDX-License-Identifier: Apache-2.0
package dev.crossover.variants.lowrank;

import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.Scratch;
import dev.crossover.attention.TokenSession;
import dev.crossover.attention.Workers;
import dev.crossover.attention.kernel.Kernels;
import dev.crossover.attention.kernel.KeyValueBlocks;
import dev.crossover.attention.kernel.ShortQueries;

/// Decoding of [Mla]: one token into the cache after norm and rotation, one query per head out.
abstract class MlaSession extends TokenSession {
  final Kernels kernels = Kernels.get();
  final float scale;
  final int r;
  final int dr;
  final int dn;
  final int dv;
  final Workers workers;
  final MlaRows[] rows;

  private MlaSession(Mla mla, AttentionShape shape, int threads) {
    super(mla, shape);
    scale = (float) mla.scaleFor(shape);
    r = mla.rank(shape);
    dr = mla.rotated(shape);
    dn = mla.unrotated(shape);
    dv = shape.valueDim();
    workers = new Workers(threads);
    rows = new MlaRows[threads];
    for (int t = 0; t < threads; t++) {
      rows[t] = new MlaRows(new Scratch(), mla, shape);
    }
  }

  final void bind() {
    for (MlaRows each : rows) {
      each.bind(inputs());
    }
  }

  /// Caches [c ; t], r + dr numbers per token, which all heads read where they lie: the latent is
  /// key and value.
  static final class Absorbed extends MlaSession {
    private final int width = r + dr;
    private final int group = Math.min(shape.numHeads(), ShortQueries.MAX_ROWS);
    private final int groups = Math.ceilDiv(shape.numHeads(), group);
    private final float[] cache =
        new float
            [Math.toIntExact(
                Math.multiplyExact((long) shape.batchSize() * shape.keySeqLen(), width))];
    private final ShortQueries[] softmax = new ShortQueries[rows.length];
    private final float[][] queries = new float[rows.length][group * width];
    private final float[][] mixed = new float[rows.length][group * r];
    private final Workers.Task heads = this::heads;

    Absorbed(Mla mla, AttentionShape shape, int threads) {
      super(mla, shape, threads);
      for (int t = 0; t < threads; t++) {
        softmax[t] = new ShortQueries(new Scratch(), group, width, r);
      }
    }

    @Override
    public long stateBytes() {
      return (long) shape.batchSize() * position() * width * Float.BYTES;
    }

    @Override
    protected void take(int t, int tokens) {
      bind();
      for (int b = 0; b < shape.batchSize(); b++) {
        int to = (b * shape.keySeqLen() + position()) * width;
        rows[0].key(b * tokens + t, position(), cache, to);
      }
    }

    @Override
    protected void answer(float[] output) {
      workers.run(shape.batchSize() * groups, heads);
    }

    private void heads(int worker, int index) {
      int batch = index / groups;
      int first = index % groups * group;
      int count = Math.min(group, shape.numHeads() - first);
      float[] u = queries[worker];
      float[] y = mixed[worker];
      float[] keyUp = input("key_up");
      for (int g = 0; g < count; g++) {
        int h = first + g;
        int from = (batch * shape.numHeads() + h) * (dn + dr);
        kernels.multiply(
            1, r, dn, input("q"), from, dn + dr, keyUp, h * dn * r, r, u, g * width, width, false);
        rows[worker].rotate(input("q"), from + dn, position(), u, g * width + r);
      }
      int keys = batch * shape.keySeqLen() * width;
      ShortQueries query = softmax[worker];
      query.begin(u, 0, count, scale);
      query.attend(cache, keys, cache, keys, width, 0, position() + 1, null, null, 0, 0);
      query.finish(y, 0);
      for (int g = 0; g < count; g++) {
        int h = first + g;
        int to = (batch * shape.numHeads() + h) * dv;
        kernels.dotRows(dv, r, input("value_up"), h * dv * r, r, y, g * r, out, to);
      }
    }
  }

  /// Caches the keys and values of every head.
  static final class Naive extends MlaSession {
    private final KeyValueBlocks cache = new KeyValueBlocks(shape);
    private final float[] latent = new float[shape.batchSize() * (r + dr)];
    private final float[] keys = new float[shape.problems() * (dn + dr)];
    private final float[] values = new float[shape.problems() * dv];
    private final float[][] queries = new float[rows.length][dn + dr];
    private final ShortQueries[] softmax = new ShortQueries[rows.length];
    private final Workers.Task head = this::head;

    Naive(Mla mla, AttentionShape shape, int threads) {
      super(mla, shape, threads);
      for (int t = 0; t < threads; t++) {
        softmax[t] = new ShortQueries(new Scratch(), 1, dn + dr, dv);
      }
    }

    @Override
    public long stateBytes() {
      return cache.bytes(position());
    }

    @Override
    protected void take(int t, int tokens) {
      bind();
      for (int b = 0; b < shape.batchSize(); b++) {
        int c = b * (r + dr);
        rows[0].key(b * tokens + t, position(), latent, c);
        for (int h = 0; h < shape.numHeads(); h++) {
          int problem = b * shape.numHeads() + h;
          int key = problem * (dn + dr);
          kernels.dotRows(dn, r, input("key_up"), h * dn * r, r, latent, c, keys, key);
          System.arraycopy(latent, c + r, keys, key + dn, dr);
          kernels.dotRows(dv, r, input("value_up"), h * dv * r, r, latent, c, values, problem * dv);
        }
      }
      cache.put(position(), keys, values, 0, 1);
    }

    @Override
    protected void answer(float[] output) {
      workers.run(shape.problems(), head);
    }

    private void head(int worker, int problem) {
      float[] rotated = queries[worker];
      int from = problem * (dn + dr);
      System.arraycopy(input("q"), from, rotated, 0, dn);
      rows[worker].rotate(input("q"), from + dn, position(), rotated, dn);
      softmax[worker].begin(rotated, 0, 1, scale);
      cache.attend(softmax[worker], problem, position() + 1);
      softmax[worker].finish(out, problem * dv);
    }
  }
}
