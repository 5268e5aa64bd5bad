// SPDX-License-Identifier: Apache-2.0
package dev.crossover.variants.lowrank;

import dev.crossover.attention.Attention;
import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.DifferentiablePlan;
import dev.crossover.attention.GradientCost;
import dev.crossover.attention.Mask;
import dev.crossover.attention.PlanRequest;
import dev.crossover.attention.Scratch;
import dev.crossover.attention.Tensors;
import dev.crossover.attention.Workers;
import dev.crossover.attention.exact.TiledBackward;
import dev.crossover.attention.kernel.Kernels;
import dev.crossover.attention.tensor.Tensor;
import dev.crossover.variants.lowrank.Nystromformer.Init;
import dev.crossover.variants.lowrank.Nystromformer.MaskRule;
import dev.crossover.variants.lowrank.Nystromformer.SegmentRule;
import java.util.Arrays;

/// [Nystromformer] with its backward pass, where landmarks are fewer than positions.
///
/// ```
/// K1: ∂q, ∂k̃, ∂M      Z, in double precision: ∂C, ∂K2, ∂s      K2: ∂q̃, ∂k̃      K3: ∂q̃, ∂k, ∂v
/// landmarks: their rows of q and k
/// ```
///
/// K1 and K3 are exact attention to and from landmarks. A padded query weighs all landmarks alike,
/// a hidden landmark all positions: constants, past which only ∂M and ∂v flow.
final class NystromformerDifferentiable extends DifferentiablePlan {
  private final Nystromformer nystrom;
  private final Kernels kernels = Kernels.get();
  private final int taps;
  private final int m;
  private final int d = shape.headDim();
  private final int dv = shape.valueDim();
  private final int nq = shape.querySeqLen();
  private final int nk = shape.keySeqLen();
  private final int heads = shape.numHeads();
  private final int keyHeads = shape.numKeyValueHeads();
  private final boolean byRealRows;
  private final NystromformerPlan forward;
  private final NystromformerPlan.Kept keep;
  private final TiledBackward unpack;
  private final TiledBackward pack;
  private final SkipConvolutionGradient convolution;
  private final PseudoInverseGradient[] inverses = new PseudoInverseGradient[threads()];
  private final float[] queryLandmarks;
  private final float[] keyLandmarks;
  private final float[] gradQueries;
  private final float[] gradKeys;
  private final float[] gradValues;
  private final float[] gradQueryLandmarks;
  private final float[] gradKeyLandmarks;
  private final float[] gradMixed;
  private final float[] gradContext;
  private final double[] gradKernel;
  private final double[] gradScale;
  private final double[] queryMeans;
  private final double[] keyMeans;
  private final Tensors results;
  private final Workers.Task takeLandmarks = this::takeLandmarks;
  private final Workers.Task throughInverse = this::throughInverse;
  private final Workers.Task throughKernel = this::throughKernel;
  private final Workers.Task queryRows = this::queryRows;
  private final Workers.Task keyRows = this::keyRows;
  private final Workers.Task weights = this::weights;
  private final Landmarks.RealRows realQuery;
  private final Landmarks.RealRows realKey = mask::isRealKey;

  NystromformerDifferentiable(Nystromformer nystrom, PlanRequest request) {
    super(request);
    this.nystrom = nystrom;
    taps = nystrom.convKernelSize().orElse(0);
    m = nystrom.landmarks();
    byRealRows = nystrom.maskRule() == MaskRule.MASKED_LANDMARKS;
    long problems = shape.problems();
    keep =
        new NystromformerPlan.Kept(
            kept,
            kept.floats(problems * m * dv),
            kept.floats(problems * m),
            kept.floats(problems * nq),
            kept.floats(taps == 0 ? 0 : problems * nq * dv));
    forward = new NystromformerPlan(nystrom, request, keep);
    realQuery = forward::isRealQuery;
    scratch.include(forward.scratchBytes());
    double scale = Attention.defaultScale(shape);
    unpack =
        new TiledBackward(
            unpacked(nystrom, shape),
            visibleLandmarks(nystrom, shape, mask),
            threads(),
            scale,
            false,
            scratch);
    pack = new TiledBackward(packed(nystrom, shape), mask, threads(), scale, false, scratch);
    hideConstantRows();
    convolution = new SkipConvolutionGradient(shape, mask, taps);
    for (int t = 0; t < threads(); t++) {
      inverses[t] = new PseudoInverseGradient(scratch, m, nystrom.iterations());
    }
    queryLandmarks = scratch.floats(problems * m * d);
    keyLandmarks = scratch.floats(problems * m * d);
    gradQueryLandmarks = scratch.floats(problems * m * d);
    gradKeyLandmarks = scratch.floats(problems * m * d);
    gradQueries = scratch.floats(problems * nq * d);
    long keys = (long) shape.batchSize() * keyHeads * nk;
    gradKeys = scratch.floats(keys * d);
    gradValues = scratch.floats(keys * dv);
    gradMixed = scratch.floats(problems * m * dv);
    gradContext = scratch.floats(problems * m * dv);
    gradKernel = scratch.doubles(problems * m * m);
    gradScale = scratch.doubles(problems);
    queryMeans = scratch.doubles(problems * m * d);
    keyMeans = scratch.doubles(problems * m * d);
    int[] sizes = {shape.batchSize(), heads, m, m};
    results =
        Tensors.NONE
            .with("landmark_kernel", Tensor.of(scratch.floats(problems * m * m), sizes))
            .with("pseudo_inverse", Tensor.of(scratch.floats(problems * m * m), sizes));
  }

  static GradientCost cost(Nystromformer nystrom, AttentionShape s, Mask mask, int threads) {
    long m = nystrom.landmarks();
    long d = s.headDim();
    long dv = s.valueDim();
    long problems = s.problems();
    long taps = nystrom.convKernelSize().orElse(0);
    long keys = (long) s.batchSize() * s.numKeyValueHeads() * s.keySeqLen();
    long lasting =
        problems
            * (2 * Landmarks.bytes(nystrom.landmarks(), s.headDim())
                + Double.BYTES * m * m
                + Float.BYTES * m * dv);
    long attended = taps == 0 ? 0 : s.querySeqLen() * dv;
    long keptFloats = problems * (m * dv + m + s.querySeqLen() + attended);
    long floats =
        problems * (4 * m * d + s.querySeqLen() * d + 2 * m * dv + 2 * m * m) + keys * (d + dv);
    long doubles = problems * (m * m + 1 + 2 * m * d);
    AttentionShape unpacked = unpacked(nystrom, s);
    AttentionShape packed = packed(nystrom, s);
    Mask landmarks = visibleLandmarks(nystrom, s, mask);
    double chain =
        PseudoInverseGradient.flops(nystrom.landmarks(), nystrom.iterations())
            + m * m * (4.0 * d + 4.0 * dv + 4);
    return new GradientCost(
        TiledBackward.flops(unpacked, Mask.none())
            + TiledBackward.flops(packed, mask)
            + problems * (chain + 4.0 * s.querySeqLen() * dv * taps),
        lasting + Float.BYTES * keptFloats,
        NystromformerPlan.scratchBytes(nystrom, s, threads)
            - lasting
            + TiledBackward.bytes(unpacked, landmarks, threads, false)
            + TiledBackward.bytes(packed, mask, threads, false)
            + threads * PseudoInverseGradient.bytes(nystrom.landmarks(), nystrom.iterations())
            + Float.BYTES * floats
            + Double.BYTES * doubles);
  }

  /// Sizes of the attention of queries to landmarks.
  private static AttentionShape unpacked(Nystromformer nystrom, AttentionShape s) {
    return new AttentionShape(
        s.batchSize(),
        s.numHeads(),
        s.numHeads(),
        s.querySeqLen(),
        nystrom.landmarks(),
        s.headDim(),
        s.headDim(),
        s.valueDim());
  }

  /// Sizes of the attention of landmarks to keys.
  private static AttentionShape packed(Nystromformer nystrom, AttentionShape s) {
    return s.withSeqLens(nystrom.landmarks(), s.keySeqLen());
  }

  /// Landmarks of keys without a real row are hidden under `masked_landmarks`: padding hides them,
  /// or rows in front of a sequence that is shorter than `landmarks`.
  private static Mask visibleLandmarks(Nystromformer nystrom, AttentionShape s, Mask mask) {
    if (nystrom.maskRule() != MaskRule.MASKED_LANDMARKS) {
      return Mask.none();
    }
    int m = nystrom.landmarks();
    Landmarks counted = counted(nystrom, s.keySeqLen());
    boolean[] visible = new boolean[s.batchSize() * m];
    for (int b = 0; b < s.batchSize(); b++) {
      counted.count(b, mask::isRealKey);
      for (int a = 0; a < m; a++) {
        visible[b * m + a] = counted.realRows[a] > 0;
      }
    }
    return Mask.keys(m, visible);
  }

  private static Landmarks counted(Nystromformer nystrom, int n) {
    boolean front = nystrom.segmentRule() == SegmentRule.FRONT_PADDING;
    return new Landmarks(new Scratch(), nystrom.landmarks(), 1, n, front);
  }

  private void hideConstantRows() {
    Landmarks counted = counted(nystrom, nq);
    for (int b = 0; b < shape.batchSize(); b++) {
      for (int i = 0; i < nq; i++) {
        if (!forward.isRealQuery(b, i)) {
          unpack.hideQuery(b, i);
        }
      }
      counted.count(b, realQuery);
      for (int a = 0; a < m; a++) {
        if (!forward.isVisible(counted, a)) {
          pack.hideQuery(b, a);
        }
      }
    }
  }

  @Override
  protected void compute(Tensor output) {
    runNested(forward, output, results);
    for (int t = 0; t < results.size(); t++) {
      if (wantsResult(results.name(t))) {
        float[] computed = results.tensor(t).data();
        System.arraycopy(computed, 0, result(results.name(t)), 0, computed.length);
      }
    }
  }

  @Override
  protected void differentiate(float[] gradOut) {
    workers.run(shape.problems(), takeLandmarks);
    float[] attended = taps == 0 ? output() : keep.attended();
    unpack.bind(input("q"), keyLandmarks, forward.mixed, attended, keep.lse());
    unpack.run(gradOut, gradQueries, gradKeyLandmarks, gradMixed);
    workers.run(shape.problems(), throughInverse);
    if (nystrom.init() != Init.EXACT) {
      shareScale();
    }
    workers.run(shape.problems(), throughKernel);
    pack.bind(queryLandmarks, input("k"), input("v"), keep.context(), keep.contextLse());
    pack.run(gradContext, gradQueryLandmarks, gradKeys, gradValues);
    if (wantsGradient("q")) {
      workers.run(shape.problems(), queryRows);
    }
    workers.run(shape.batchSize() * keyHeads, keyRows);
    if (taps > 0 && wantsGradient("conv_weight")) {
      workers.run(heads, weights);
    }
  }

  private void takeLandmarks(int worker, int problem) {
    double[] q = forward.queryLandmarks[problem].mean;
    double[] k = forward.keyLandmarks[problem].mean;
    for (int e = 0; e < m * d; e++) {
      queryLandmarks[problem * m * d + e] = (float) q[e];
      keyLandmarks[problem * m * d + e] = (float) k[e];
    }
  }

  /// ∂C and ∂K2 of one head from ∂M; with the scale's path where it is the head's own.
  private void throughInverse(int worker, int problem) {
    addUniformRows(problem);
    PseudoInverseGradient inverse = inverses[worker];
    int kernel = problem * m * m;
    double scale = forward.scaleOf(problem);
    double[] z = inverse.forward(forward.landmarkKernel, kernel, scale);
    mixedGradients(problem, z, inverse.last(), inverse.gradZ);
    Arrays.fill(gradKernel, kernel, kernel + m * m, 0);
    if (hasResultGradient("pseudo_inverse")) {
      float[] upstream = resultGradient("pseudo_inverse");
      for (int e = 0; e < m * m; e++) {
        inverse.gradZ[e] += upstream[kernel + e];
      }
    }
    if (hasResultGradient("landmark_kernel")) {
      float[] upstream = resultGradient("landmark_kernel");
      for (int e = kernel; e < kernel + m * m; e++) {
        gradKernel[e] += upstream[e];
      }
    }
    inverse.backward(forward.landmarkKernel, kernel, gradKernel, kernel);
    gradScale[problem] = inverse.firstIterate(scale, gradKernel, kernel);
    if (nystrom.init() == Init.EXACT) {
      addToLargestColumn(problem, gradScale[problem]);
    }
  }

  /// ∂M of the padded queries' rows: each weighs all landmarks alike.
  private void addUniformRows(int problem) {
    int batch = problem / heads;
    for (int i = 0; i < nq; i++) {
      if (!forward.isRealQuery(batch, i)) {
        for (int a = 0; a < m; a++) {
          int to = (problem * m + a) * dv;
          kernels.axpy(dv, 1f / m, gradOut, (problem * nq + i) * dv, gradMixed, to);
        }
      }
    }
  }

  /// ∂Z = ∂M Cᵀ and ∂C = Zᵀ ∂M.
  private void mixedGradients(int problem, double[] z, int zo, double[] gradZ) {
    float[] context = keep.context();
    int first = problem * m * dv;
    for (int a = 0; a < m; a++) {
      for (int l = 0; l < m; l++) {
        double sum = 0;
        for (int c = 0; c < dv; c++) {
          sum += (double) gradMixed[first + a * dv + c] * context[first + l * dv + c];
        }
        gradZ[a * m + l] = sum;
      }
    }
    for (int l = 0; l < m; l++) {
      for (int c = 0; c < dv; c++) {
        double sum = 0;
        for (int a = 0; a < m; a++) {
          sum += z[zo + a * m + l] * gradMixed[first + a * dv + c];
        }
        gradContext[first + l * dv + c] = (float) sum;
      }
    }
  }

  /// The gradient of the scale that all heads share, over one head after another. The largest row
  /// sum in `global_product` is 1: a factor without a gradient.
  private void shareScale() {
    double sum = 0;
    int largest = 0;
    for (int p = 0; p < shape.problems(); p++) {
      sum += gradScale[p];
      if (forward.largestColumnSum[p] > forward.largestColumnSum[largest]) {
        largest = p;
      }
    }
    double scale = forward.scaleOf(largest);
    addToLargestColumn(largest, sum * scale / forward.largestColumnSum[largest]);
  }

  private void addToLargestColumn(int problem, double gradient) {
    int kernel = problem * m * m;
    double largest = Double.NEGATIVE_INFINITY;
    int column = 0;
    for (int c = 0; c < m; c++) {
      double sum = 0;
      for (int a = 0; a < m; a++) {
        sum += forward.landmarkKernel[kernel + a * m + c];
      }
      if (sum > largest) {
        largest = sum;
        column = c;
      }
    }
    for (int a = 0; a < m; a++) {
      gradKernel[kernel + a * m + column] += gradient;
    }
  }

  /// K2 = softmax(q̃ k̃ᵀ / √d) of one head: ∂q̃ and ∂k̃, the latter with what K1 gave it.
  private void throughKernel(int worker, int problem) {
    Landmarks q = forward.queryLandmarks[problem];
    Landmarks k = forward.keyLandmarks[problem];
    int first = problem * m * d;
    double root = Math.sqrt(d);
    for (int e = first; e < first + m * d; e++) {
      queryMeans[e] = 0;
      keyMeans[e] = gradKeyLandmarks[e];
    }
    for (int a = 0; a < m; a++) {
      if (!forward.isVisible(q, a)) {
        continue;
      }
      int row = (problem * m + a) * m;
      double mean = 0;
      for (int c = 0; c < m; c++) {
        mean += gradKernel[row + c] * forward.landmarkKernel[row + c];
      }
      for (int c = 0; c < m; c++) {
        if (!forward.isVisible(k, c)) {
          continue;
        }
        double slope = forward.landmarkKernel[row + c] * (gradKernel[row + c] - mean) / root;
        for (int x = 0; x < d; x++) {
          queryMeans[first + a * d + x] += slope * k.mean[c * d + x];
          keyMeans[first + c * d + x] += slope * q.mean[a * d + x];
        }
      }
    }
  }

  /// ∂q of one head: from K1, and from the landmarks.
  private void queryRows(int worker, int problem) {
    int first = problem * m * d;
    for (int e = first; e < first + m * d; e++) {
      queryMeans[e] += gradQueryLandmarks[e];
    }
    float[] target = gradient("q");
    int at = problem * nq * d;
    kernels.add(nq * d, target, at, gradQueries, at, target, at);
    forward.queryLandmarks[problem].spread(
        queryMeans, first, problem / heads, realQuery, byRealRows, nystrom.eps(), target, at);
  }

  /// ∂k and ∂v of one key/value head: from K3, from the landmarks of the heads that share it, from
  /// the rows of hidden landmarks, and from the convolution.
  private void keyRows(int worker, int head) {
    int batch = head / keyHeads;
    int group = shape.groupSize();
    if (wantsGradient("k")) {
      float[] target = gradient("k");
      int at = head * nk * d;
      kernels.add(nk * d, target, at, gradKeys, at, target, at);
      for (int p = head * group; p < (head + 1) * group; p++) {
        forward.keyLandmarks[p].spread(
            keyMeans, p * m * d, batch, realKey, byRealRows, nystrom.eps(), target, at);
      }
    }
    if (wantsGradient("v")) {
      float[] target = gradient("v");
      int at = head * nk * dv;
      kernels.add(nk * dv, target, at, gradValues, at, target, at);
      for (int p = head * group; p < (head + 1) * group; p++) {
        addHiddenLandmarks(p, batch, target, at);
      }
      if (taps > 0) {
        convolution.values(batch, head % keyHeads, input("conv_weight"), gradOut, target);
      }
    }
  }

  /// A hidden landmark of the queries weighs all positions alike, padding in front included.
  private void addHiddenLandmarks(int problem, int batch, float[] target, int at) {
    float weight = 1f / forward.keyLandmarks[problem].paddedLength();
    for (int a = 0; a < m; a++) {
      if (forward.isVisible(forward.queryLandmarks[problem], a)) {
        continue;
      }
      for (int j = 0; j < nk; j++) {
        if (mask.isRealKey(batch, j)) {
          kernels.axpy(dv, weight, gradContext, (problem * m + a) * dv, target, at + j * dv);
        }
      }
    }
  }

  private void weights(int worker, int h) {
    convolution.weights(h, input("v"), gradOut, gradient("conv_weight"));
  }
}
