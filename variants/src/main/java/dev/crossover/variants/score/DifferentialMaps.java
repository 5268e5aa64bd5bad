// SPDX-License-Identifier: Apache-2.0
package dev.crossover.variants.score;

import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.BoundTensors;
import dev.crossover.attention.Mask;
import dev.crossover.attention.Scratch;
import dev.crossover.attention.Tensors;
import dev.crossover.attention.Workers;
import dev.crossover.attention.exact.ScoreRows;
import dev.crossover.attention.kernel.Kernels;
import dev.crossover.attention.tensor.Tensor;
import org.jspecify.annotations.Nullable;

/// What both maps of every head of [Differential] are made of, as inputs of one exact attention,
/// and what becomes of their outputs.
final class DifferentialMaps {
  /// λ of the last [#expand].
  double lambda;

  private final Differential differential;
  private final AttentionShape shape;
  private final AttentionShape maps;
  private final Mask mask;
  private final Workers workers;
  private final ScoreRows[] rotate;
  private final Tensors tensors;
  private final Tensor outputs;
  private final Workers.Task query = this::query;
  private final Workers.Task key = this::key;
  private final Workers.Task combine = this::combine;
  private float[] q = new float[0];
  private float[] k = q;
  private float[] v = q;
  private float[] out = q;
  private float @Nullable [] weight;

  /// @param kept allocator of what a backward pass needs again
  /// @param scratch allocator of the rest
  DifferentialMaps(
      Scratch kept,
      Scratch scratch,
      Differential differential,
      AttentionShape shape,
      Mask mask,
      Workers workers) {
    this.differential = differential;
    this.shape = shape;
    this.mask = mask;
    this.workers = workers;
    maps = differential.maps(shape);
    tensors =
        Tensors.qkv(
            queries(kept, maps, maps.headDim()),
            keys(kept, maps, maps.headDim()),
            keys(kept, maps, maps.valueDim()));
    outputs = queries(kept, maps, maps.valueDim());
    rotate = new ScoreRows[workers.threads()];
    for (int t = 0; t < rotate.length; t++) {
      rotate[t] = new ScoreRows(scratch, differential.rotation(), shape.headDim());
    }
  }

  /// Fresh rows of all maps' queries.
  static Tensor queries(Scratch scratch, AttentionShape maps, int width) {
    return Tensor.of(
        scratch.floats((long) maps.problems() * maps.querySeqLen() * width),
        maps.batchSize(),
        maps.numHeads(),
        maps.querySeqLen(),
        width);
  }

  /// Fresh rows of all maps' keys.
  static Tensor keys(Scratch scratch, AttentionShape maps, int width) {
    return Tensor.of(
        scratch.floats(
            (long) maps.batchSize() * maps.numKeyValueHeads() * maps.keySeqLen() * width),
        maps.batchSize(),
        maps.numKeyValueHeads(),
        maps.keySeqLen(),
        width);
  }

  /// Bytes the constructor allocates.
  static long bytes(Differential differential, AttentionShape s, int threads) {
    return keptBytes(s) + workBytes(differential, s, threads);
  }

  /// Bytes of the rows of all maps.
  static long keptBytes(AttentionShape s) {
    long queries = 2L * s.problems() * s.querySeqLen();
    return Float.BYTES * (rowFloats(s) + queries * s.valueDim());
  }

  /// Elements of q, k and v of all maps.
  static long rowFloats(AttentionShape s) {
    long queries = 2L * s.problems() * s.querySeqLen();
    long keys = 2L * s.batchSize() * s.numKeyValueHeads() * s.keySeqLen();
    return queries * s.headDim() + keys * (s.headDim() + s.valueDim());
  }

  /// Bytes of the workers' own arrays.
  static long workBytes(Differential differential, AttentionShape s, int threads) {
    return threads * ScoreRows.bytes(differential.rotation(), s.headDim());
  }

  /// q, k and v of all maps.
  Tensors tensors() {
    return tensors;
  }

  /// What the exact attention writes.
  Tensor outputs() {
    return outputs;
  }

  /// Rows of all maps, rotated; values once for each map.
  void expand(BoundTensors inputs) {
    q = inputs.get("q");
    k = inputs.get("k");
    v = inputs.get("v");
    weight = inputs.has("norm_weight") ? inputs.get("norm_weight") : null;
    lambda = differential.lambda(product(inputs, 0), product(inputs, 2));
    float[] frequencies = inputs.has("rope_frequencies") ? inputs.get("rope_frequencies") : null;
    for (ScoreRows rows : rotate) {
      rows.frequencies(frequencies);
    }
    workers.run(maps.problems(), query);
    workers.run(maps.batchSize() * maps.numKeyValueHeads(), key);
  }

  /// `λ_q · λ_k` of one of the two terms.
  static double product(BoundTensors inputs, int first) {
    float[] a = inputs.get(Differential.LAMBDAS.get(first));
    float[] b = inputs.get(Differential.LAMBDAS.get(first + 1));
    double sum = 0;
    for (int c = 0; c < a.length; c++) {
      sum += (double) a[c] * b[c];
    }
    return sum;
  }

  private int position(int i) {
    int nq = shape.querySeqLen();
    int nk = shape.keySeqLen();
    return i + (mask.isCausal() ? mask.causalOffset(nq, nk) : nk - nq);
  }

  /// First element of a map's queries in `q`.
  private int sourceOffset(int problem) {
    int batch = problem / maps.numHeads();
    int head = batch * maps.numHeads() + differential.source(shape, problem % maps.numHeads());
    return head * shape.querySeqLen() * shape.headDim();
  }

  private void query(int worker, int problem) {
    int d = shape.headDim();
    int from = sourceOffset(problem);
    int to = problem * shape.querySeqLen() * d;
    for (int i = 0; i < shape.querySeqLen(); i++) {
      rotate[worker].forward(
          q, from + i * d, null, position(i), tensors.get("q").data(), to + i * d);
    }
  }

  private void key(int worker, int head) {
    int d = shape.headDim();
    int at = head * shape.keySeqLen() * d;
    for (int j = 0; j < shape.keySeqLen(); j++) {
      rotate[worker].forward(k, at + j * d, null, j, tensors.get("k").data(), at + j * d);
    }
    int block = shape.keySeqLen() * shape.valueDim();
    System.arraycopy(v, head / 2 * block, tensors.get("v").data(), head * block, block);
  }

  /// Takes the gradient of a map's rotated queries back to those of `q`.
  void queryBackward(int worker, int problem, float[] gradRows, float[] gradQ) {
    int d = shape.headDim();
    int from = sourceOffset(problem);
    int at = problem * shape.querySeqLen() * d;
    for (int i = 0; i < shape.querySeqLen(); i++) {
      int row = from + i * d;
      rotate[worker].backward(q, row, null, position(i), gradRows, at + i * d, gradQ, row, null, 0);
    }
  }

  /// Takes the gradient of a map's rotated keys back to those of `k`.
  void keyBackward(int worker, int head, float[] gradRows, float[] gradK) {
    int d = shape.headDim();
    for (int j = 0; j < shape.keySeqLen(); j++) {
      int row = (head * shape.keySeqLen() + j) * d;
      rotate[worker].backward(k, row, null, j, gradRows, row, gradK, row, null, 0);
    }
  }

  /// Outputs from those of the maps.
  void combine(float[] newOut) {
    out = newOut;
    workers.run(maps.problems(), combine);
  }

  /// The rows of one head: the task of its first map.
  private void combine(int worker, int problem) {
    int map = problem % maps.numHeads();
    int source = differential.source(shape, map);
    if (source % 2 == 1) {
      return;
    }
    int dv = shape.valueDim();
    int nq = shape.querySeqLen();
    int second = problem - map + differential.second(shape, map);
    int to = (problem / maps.numHeads() * shape.numHeads() + source / 2) * nq * dv;
    for (int i = 0; i < nq; i++) {
      combine(
          differential,
          dv,
          lambda,
          outputs.data(),
          (problem * nq + i) * dv,
          (second * nq + i) * dv,
          weight,
          out,
          to + i * dv);
    }
  }

  /// One row: the difference, divided by its root mean square.
  static void combine(
      Differential differential,
      int dv,
      double lambda,
      float[] maps,
      int first,
      int second,
      float @Nullable [] weight,
      float[] out,
      int to) {
    double root = root(differential, dv, lambda, maps, first, second);
    double factor = root == 0 ? 0 : (1 - differential.lambdaInit()) / root;
    for (int c = 0; c < dv; c++) {
      double y = maps[first + c] - lambda * maps[second + c];
      out[to + c] = (float) (factor * y * (weight == null ? 1 : weight[c]));
    }
  }

  /// `√(mean y² + eps)` of one row.
  static double root(
      Differential differential, int dv, double lambda, float[] maps, int first, int second) {
    double squares = 0;
    for (int c = 0; c < dv; c++) {
      double y = maps[first + c] - lambda * maps[second + c];
      squares += y * y;
    }
    return Math.sqrt(squares / dv + differential.eps());
  }

  /// Adds the gradients of both maps' values.
  void valueBackward(float[] gradRows, float[] gradV) {
    int block = shape.keySeqLen() * shape.valueDim();
    for (int head = 0; head < maps.batchSize() * maps.numKeyValueHeads(); head++) {
      int to = head / 2 * block;
      Kernels.get().add(block, gradV, to, gradRows, head * block, gradV, to);
    }
  }
}
