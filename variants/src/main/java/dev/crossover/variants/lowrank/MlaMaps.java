// SPDX-License-Identifier: Apache-2.0
package dev.crossover.variants.lowrank;

import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.BoundTensors;
import dev.crossover.attention.Mask;
import dev.crossover.attention.Scratch;
import dev.crossover.attention.Tensors;
import dev.crossover.attention.Workers;
import dev.crossover.attention.kernel.Kernels;
import dev.crossover.attention.tensor.Tensor;
import java.util.Arrays;

/// Queries, keys and values of either form of [Mla], made of its inputs: what softmax attention
/// reads.
///
/// Latents that no query sees count as zero, so that nothing of them reaches a sum over tokens.
final class MlaMaps {
  /// Rows of a task.
  static final int ROWS = 64;

  final AttentionShape shape;
  final Mask mask;
  final boolean absorbed;
  final int r;
  final int dr;
  final int dn;
  final int dv;

  /// Blocks of rows of a head's queries and of a batch entry's tokens.
  final int queryBlocks;

  final int keyBlocks;

  /// `[batch, nk, r + dr]`: [c ; t]; absorbed the keys.
  final float[] latents;

  /// Naive `[batch, heads, nk, dv]`, absorbed `[batch, 1, nk, r]`.
  final float[] values;

  /// Absorbed y `[batch, heads, nq, r]`.
  final float[] mixed;

  final float[][] work;
  final MlaRows[] rows;

  private final Workers workers;
  private final Kernels kernels = Kernels.get();
  private final float[] queries;
  private final float[] keys;
  private final Tensors tensors;
  private final Tensor mixedTensor;
  private final Workers.Task latent = this::latent;
  private final Workers.Task query = this::query;
  private final Workers.Task key = this::key;
  private final Workers.Task output = this::output;
  private float[] q = new float[0];
  private float[] keyUp = q;
  private float[] valueUp = q;
  private float[] out = q;

  /// @param kept allocator of what a backward pass needs again
  MlaMaps(
      Scratch kept,
      Scratch scratch,
      Mla mla,
      AttentionShape shape,
      Mask mask,
      Workers workers,
      boolean absorbed) {
    this.shape = shape;
    this.mask = mask;
    this.absorbed = absorbed;
    this.workers = workers;
    r = mla.rank(shape);
    dr = mla.rotated(shape);
    dn = mla.unrotated(shape);
    dv = shape.valueDim();
    queryBlocks = Math.ceilDiv(shape.querySeqLen(), ROWS);
    keyBlocks = Math.ceilDiv(shape.keySeqLen(), ROWS);
    AttentionShape inner = mla.inner(shape, absorbed);
    latents = kept.floats(latentFloats(mla, shape));
    queries = kept.floats(queryFloats(inner));
    keys = absorbed ? latents : kept.floats(keyRows(inner) * inner.headDim());
    values = kept.floats(keyRows(inner) * inner.valueDim());
    mixed = kept.floats(absorbed ? queryRows(inner) * r : 0);
    tensors =
        Tensors.qkv(
            Tensor.of(
                queries, inner.batchSize(), inner.numHeads(), inner.querySeqLen(), inner.headDim()),
            keysOf(inner, keys, inner.headDim()),
            keysOf(inner, values, inner.valueDim()));
    mixedTensor =
        absorbed
            ? Tensor.of(mixed, shape.batchSize(), shape.numHeads(), shape.querySeqLen(), r)
            : Tensor.zeros(0);
    work = new float[workers.threads()][];
    rows = new MlaRows[work.length];
    for (int t = 0; t < work.length; t++) {
      work[t] = scratch.floats(workFloats(mla, shape));
      rows[t] = new MlaRows(scratch, mla, shape);
    }
  }

  private static Tensor keysOf(AttentionShape s, float[] data, int width) {
    return Tensor.of(data, s.batchSize(), s.numKeyValueHeads(), s.keySeqLen(), width);
  }

  /// Bytes the constructor allocates.
  static long bytes(Mla mla, AttentionShape s, boolean absorbed, int threads) {
    return tensorBytes(mla, s, absorbed) + workBytes(mla, s, threads);
  }

  /// Bytes of queries, keys, values and what is made of them.
  static long tensorBytes(Mla mla, AttentionShape s, boolean absorbed) {
    AttentionShape inner = mla.inner(s, absorbed);
    long keys = keyRows(inner) * (inner.valueDim() + (absorbed ? 0 : inner.headDim()));
    long outputs = absorbed ? queryRows(inner) * mla.rank(s) : 0;
    return Float.BYTES * (latentFloats(mla, s) + queryFloats(inner) + keys + outputs);
  }

  /// Bytes of the workers' own arrays.
  static long workBytes(Mla mla, AttentionShape s, int threads) {
    return threads * (Float.BYTES * workFloats(mla, s) + MlaRows.bytes(mla, s));
  }

  private static long workFloats(Mla mla, AttentionShape s) {
    int widest = Math.max(mla.unrotated(s), s.valueDim());
    return Kernels.get().transposedBScratch(widest, mla.rank(s));
  }

  private static long latentFloats(Mla mla, AttentionShape s) {
    return (long) s.batchSize() * s.keySeqLen() * (mla.rank(s) + mla.rotated(s));
  }

  /// Rows of all heads' queries.
  static long queryRows(AttentionShape s) {
    return (long) s.problems() * s.querySeqLen();
  }

  private static long queryFloats(AttentionShape s) {
    return queryRows(s) * s.headDim();
  }

  /// Rows of all key/value heads' keys.
  static long keyRows(AttentionShape s) {
    return (long) s.batchSize() * s.numKeyValueHeads() * s.keySeqLen();
  }

  /// `q`, `k` and `v` of the softmax attention.
  Tensors tensors() {
    return tensors;
  }

  /// What the softmax attention writes: the output itself, absorbed y.
  Tensor softmaxOutput(Tensor given) {
    return absorbed ? mixedTensor : given;
  }

  /// Position of query i.
  int position(int i) {
    int nq = shape.querySeqLen();
    int nk = shape.keySeqLen();
    return i + (mask.isCausal() ? mask.causalOffset(nq, nk) : nk - nq);
  }

  /// Whether some query sees key j.
  boolean seen(int batch, int j) {
    int nq = shape.querySeqLen();
    return nq > 0
        && j < mask.causalLimit(nq - 1, nq, shape.keySeqLen())
        && mask.isRealKey(batch, j);
  }

  /// First query that sees a key; all after it do, too.
  int firstQuery(int batch) {
    int nq = shape.querySeqLen();
    int nk = shape.keySeqLen();
    int first = mask.nextReal(batch, 0, nk);
    int i = 0;
    while (i < nq && mask.causalLimit(i, nq, nk) <= first) {
      i++;
    }
    return i;
  }

  /// Makes queries, keys and values.
  void expand(BoundTensors inputs) {
    q = inputs.get("q");
    keyUp = inputs.get("key_up");
    valueUp = inputs.get("value_up");
    for (MlaRows each : rows) {
      each.bind(inputs);
    }
    workers.run(shape.batchSize() * keyBlocks, latent);
    if (!absorbed) {
      workers.run(shape.problems() * keyBlocks, key);
    }
    workers.run(shape.problems() * queryBlocks, query);
  }

  /// Writes o = value_up y; naive it is there already.
  void project(Tensor written) {
    if (absorbed) {
      out = written.data();
      workers.run(shape.problems() * queryBlocks, output);
    }
  }

  /// c and t of a block of tokens.
  private void latent(int worker, int index) {
    int batch = index / keyBlocks;
    int first = index % keyBlocks * ROWS;
    int end = Math.min(shape.keySeqLen(), first + ROWS);
    for (int j = first; j < end; j++) {
      int token = batch * shape.keySeqLen() + j;
      int to = token * (r + dr);
      if (seen(batch, j)) {
        rows[worker].key(token, j, latents, to);
      } else {
        Arrays.fill(latents, to, to + r + dr, 0);
      }
      if (absorbed) {
        System.arraycopy(latents, to, values, token * r, r);
      }
    }
  }

  /// [key_up c ; t] and value_up c of a block of tokens, for one head.
  private void key(int worker, int index) {
    int problem = index / keyBlocks;
    int h = problem % shape.numHeads();
    int first = index % keyBlocks * ROWS;
    int count = Math.min(ROWS, shape.keySeqLen() - first);
    int from = (problem / shape.numHeads() * shape.keySeqLen() + first) * (r + dr);
    int to = problem * shape.keySeqLen() + first;
    up(worker, count, dn, latents, from, r + dr, keyUp, h * dn * r, keys, to * (dn + dr), dn + dr);
    up(worker, count, dv, latents, from, r + dr, valueUp, h * dv * r, values, to * dv, dv);
    for (int j = 0; j < count; j++) {
      System.arraycopy(latents, from + j * (r + dr) + r, keys, (to + j) * (dn + dr) + dn, dr);
    }
  }

  /// Queries of a block: [qn ; R qr], absorbed [key_upᵀ qn ; R qr].
  private void query(int worker, int index) {
    int problem = index / queryBlocks;
    int first = index % queryBlocks * ROWS;
    int count = Math.min(ROWS, shape.querySeqLen() - first);
    int from = (problem * shape.querySeqLen() + first) * (dn + dr);
    int plain = absorbed ? r : dn;
    int to = (problem * shape.querySeqLen() + first) * (plain + dr);
    if (absorbed) {
      int map = problem % shape.numHeads() * dn * r;
      kernels.multiply(count, r, dn, q, from, dn + dr, keyUp, map, r, queries, to, r + dr, false);
    }
    for (int i = 0; i < count; i++) {
      int source = from + i * (dn + dr);
      int target = to + i * (plain + dr);
      if (!absorbed) {
        System.arraycopy(q, source, queries, target, dn);
      }
      rows[worker].rotate(q, source + dn, position(first + i), queries, target + plain);
    }
  }

  /// Outputs of a block.
  private void output(int worker, int index) {
    int problem = index / queryBlocks;
    int first = index % queryBlocks * ROWS;
    int count = Math.min(ROWS, shape.querySeqLen() - first);
    int at = problem * shape.querySeqLen() + first;
    int map = problem % shape.numHeads() * dv * r;
    up(worker, count, dv, mixed, at * r, r, valueUp, map, out, at * dv, dv);
  }

  /// `z (+)= x mapᵀ` for rows of r and a map `[n, r]`.
  private void up(
      int worker,
      int count,
      int n,
      float[] x,
      int xo,
      int ldx,
      float[] map,
      int mo,
      float[] z,
      int zo,
      int ldz) {
    kernels.multiplyTransposedB(
        count, n, r, x, xo, ldx, map, mo, r, z, zo, ldz, false, work[worker], 0);
  }
}
