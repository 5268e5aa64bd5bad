// SPDX-License-Identifier: Apache-2.0
package dev.crossover.variants.feature;

import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.BoundTensors;
import dev.crossover.attention.Mask;
import dev.crossover.attention.Scratch;
import dev.crossover.attention.kernel.Kernels;
import dev.crossover.attention.linear.FeatureGradients;
import dev.crossover.attention.linear.FeatureMap;
import dev.crossover.attention.linear.FeatureRows;
import dev.crossover.attention.linear.FeatureSite;

/// The feature maps of [Performer]: a product with the projection and one elementwise pass.
///
/// With u = ω x·d^(-1/4) and g(x) = |x|²/(2√d):
///
/// ```
/// softmax_positive       m^(-1/2) (exp(u − g − c) + eps)          queries: c = max u of the row
/// softmax_hyperbolic     (2m)^(-1/2) [exp(u − g), exp(−u − g)]
/// softmax_trigonometric  m^(-1/2) exp(g − c) [cos u, sin u]        queries: c = g of the row
/// relu                   relu(ω x) + eps
/// relu_tensorflow        relu(m^(-1/2) ω x) + eps
/// relu_unprojected       relu(x) + eps
/// ```
///
/// For keys c is the largest max u (or g) of the keys that a query may see, kept as the running
/// scale of the sums; eps of softmax_positive does not scale with it and is a shift of the key
/// features.
///
/// Without eps and stabiliser any factor of a query's features, and one of all keys' features,
/// cancels. softmax_positive then leaves g out of the queries and takes c from u − g, so that rows
/// and keys of large norm do not vanish from single precision.
final class PerformerFeatures implements FeatureMap {
  private static final int ROWS_READ_AHEAD = 4096;
  private static final int BLOCK = 64;

  private final Kernels kernels = Kernels.get();
  private final Performer.Kernel kernel;
  private final AttentionShape shape;
  private final Mask mask;
  private final int m;
  private final int d;
  private final int width;
  private final int stride;
  private final float eps;
  private final double inputScale;
  private final float halfLogWidth;
  private final boolean factorsCancel;
  private final float[] projection;
  private final float[][] projected;
  private final int blocksAhead;
  private final float[] maxima;
  private final float[][] norms;
  private float[] k = new float[0];
  private float[] omega = new float[0];

  PerformerFeatures(Performer performer, FeatureSite site) {
    kernel = performer.kernel();
    shape = site.shape();
    mask = site.mask();
    d = shape.headDim();
    m = performer.numFeatures();
    width = performer.width(shape);
    stride = Projections.stride(m);
    double root = 1 / Math.sqrt(m);
    eps = (float) (kernel.isSoftmax() ? performer.epsOrDefault() * root : performer.epsOrDefault());
    inputScale =
        switch (kernel) {
          case RELU, RELU_UNPROJECTED -> 1;
          case RELU_TENSORFLOW -> root;
          default -> Math.pow(d, -0.25);
        };
    halfLogWidth = (float) (0.5 * Math.log(width));
    factorsCancel = eps == 0 && performer.renormOrDefault() == 0;
    boolean ahead = readsAhead(performer, mask);
    blocksAhead = ahead ? Math.ceilDiv(shape.keySeqLen(), ROWS_READ_AHEAD) : 0;
    projection = site.scratch().floats(projectionSize(kernel, m, d));
    projected = new float[site.threads()][];
    for (int t = 0; t < projected.length; t++) {
      projected[t] = site.scratch().floats(projectedSize(kernel, m, ahead));
    }
    maxima = site.scratch().floats((long) preparations());
    norms = new float[site.threads()][0];
  }

  @Override
  public void allocateGradients(Scratch scratch) {
    for (int t = 0; t < norms.length; t++) {
      norms[t] = scratch.floats(BLOCK);
    }
  }

  /// Bytes that [#allocateGradients] allocates.
  static long gradientBytes(int threads) {
    return (long) threads * BLOCK * Float.BYTES;
  }

  /// Bytes the constructor allocates for a plan.
  static long scratchBytes(Performer performer, AttentionShape s, Mask mask, int threads) {
    Performer.Kernel kernel = performer.kernel();
    int m = performer.numFeatures();
    boolean ahead = readsAhead(performer, mask);
    long blocks = ahead ? Math.ceilDiv(s.keySeqLen(), ROWS_READ_AHEAD) : 0;
    return Float.BYTES
        * (projectionSize(kernel, m, s.headDim())
            + threads * projectedSize(kernel, m, ahead)
            + s.batchSize() * s.numKeyValueHeads() * blocks);
  }

  /// The published maximum differs from that over visible keys only under a mask.
  static boolean readsAhead(Performer performer, Mask mask) {
    return performer.readsAhead() && (mask.isCausal() || mask.hasKeyPadding());
  }

  private static long projectionSize(Performer.Kernel kernel, int m, int d) {
    return kernel == Performer.Kernel.RELU_UNPROJECTED ? 0 : Projections.size(m, d);
  }

  private static long projectedSize(Performer.Kernel kernel, int m, boolean ahead) {
    boolean pairs =
        kernel == Performer.Kernel.SOFTMAX_HYPERBOLIC
            || kernel == Performer.Kernel.SOFTMAX_TRIGONOMETRIC;
    return pairs || ahead ? (long) BLOCK * m : 0;
  }

  @Override
  public int width() {
    return width;
  }

  @Override
  public Scaling scaling() {
    return kernel.isScaled() ? Scaling.MAXIMUM : Scaling.NONE;
  }

  @Override
  public float keyShift() {
    return kernel == Performer.Kernel.SOFTMAX_POSITIVE ? eps : 0;
  }

  /// ωᵀ with the scale of the inputs in it, so that products need neither.
  @Override
  public void begin(BoundTensors inputs) {
    k = inputs.get("k");
    if (projection.length == 0) {
      return;
    }
    omega = inputs.get("random_projection");
    Projections.transpose(m, d, inputScale, omega, 0, projection, 0);
  }

  @Override
  public int preparations() {
    return shape.batchSize() * shape.numKeyValueHeads() * blocksAhead;
  }

  /// The published key maximum over one block of one head: padding counts, unless it is not finite.
  @Override
  public void prepare(int worker, int task) {
    int keyHead = task / blocksAhead;
    int first = task % blocksAhead * ROWS_READ_AHEAD;
    int end = Math.min(shape.keySeqLen(), first + ROWS_READ_AHEAD);
    float max = Float.NEGATIVE_INFINITY;
    for (int j = first; j < end; j += BLOCK) {
      int count = Math.min(BLOCK, end - j);
      int at = (keyHead * shape.keySeqLen() + j) * d;
      project(count, k, at, projected[worker], 0);
      for (int r = 0; r < count; r++) {
        float exponent = keyExponent(projected[worker], r * m, k, at + r * d);
        if (exponent > max && exponent < Float.POSITIVE_INFINITY) {
          max = exponent;
        }
      }
    }
    maxima[task] = max;
  }

  /// What the key maximum runs over: max u, max u − g, or g.
  private float keyExponent(float[] u, int uo, float[] x, int xo) {
    if (kernel != Performer.Kernel.SOFTMAX_POSITIVE) {
      return halfNorm(x, xo);
    }
    return kernels.max(m, u, uo) - (factorsCancel ? halfNorm(x, xo) : 0);
  }

  @Override
  public void queries(FeatureRows rows, float[] phi, int at) {
    switch (kernel) {
      case SOFTMAX_POSITIVE -> positiveQueries(rows, phi, at);
      case SOFTMAX_HYPERBOLIC -> hyperbolic(rows, phi, at);
      case SOFTMAX_TRIGONOMETRIC -> {
        trigonometric(rows, phi, at);
        scaleRows(rows, phi, at, false);
      }
      case RELU, RELU_TENSORFLOW -> {
        project(rows.count(), rows.data(), rows.at(0), phi, at);
        kernels.relu(rows.count() * m, eps, phi, at, phi, at);
      }
      case RELU_UNPROJECTED ->
          kernels.relu(rows.count() * d, eps, rows.data(), rows.at(0), phi, at);
    }
  }

  @Override
  public void keys(FeatureRows rows, float[] phi, int at) {
    switch (kernel) {
      case SOFTMAX_POSITIVE -> positiveKeys(rows, phi, at);
      case SOFTMAX_TRIGONOMETRIC -> {
        trigonometric(rows, phi, at);
        scaleRows(rows, phi, at, true);
      }
      default -> queries(rows, phi, at);
    }
  }

  /// m^(-1/2) (exp(u − g − max u) + eps), or exp(u − max u) where factors cancel.
  private void positiveQueries(FeatureRows rows, float[] phi, int at) {
    project(rows.count(), rows.data(), rows.at(0), phi, at);
    for (int r = 0; r < rows.count(); r++) {
      int o = at + r * m;
      float g = factorsCancel ? 0 : halfNorm(rows.data(), rows.at(r)) + halfLogWidth;
      kernels.exp(m, 1, -(g + kernels.max(m, phi, o)), phi, o, phi, o);
    }
    kernels.relu(rows.count() * m, eps, phi, at, phi, at);
  }

  /// m^(-1/2) exp(u − g − c), c the largest u, or u − g, up to this key, or of all keys.
  private void positiveKeys(FeatureRows rows, float[] phi, int at) {
    project(rows.count(), rows.data(), rows.at(0), phi, at);
    for (int r = 0; r < rows.count(); r++) {
      int o = at + r * m;
      float g = halfNorm(rows.data(), rows.at(r));
      double c = keyMaximum(rows, r, keyExponent(phi, o, rows.data(), rows.at(r)));
      kernels.exp(m, 1, (float) -(g + c + halfLogWidth), phi, o, phi, o);
    }
  }

  /// (2m)^(-1/2) [exp(u − g), exp(−u − g)].
  private void hyperbolic(FeatureRows rows, float[] phi, int at) {
    float[] u = projected[rows.worker()];
    project(rows.count(), rows.data(), rows.at(0), u, 0);
    for (int r = 0; r < rows.count(); r++) {
      int o = at + r * width;
      float shift = -(halfNorm(rows.data(), rows.at(r)) + halfLogWidth);
      kernels.exp(m, 1, shift, u, r * m, phi, o);
      kernels.exp(m, -1, shift, u, r * m, phi, o + m);
    }
  }

  /// [cos u, sin u].
  private void trigonometric(FeatureRows rows, float[] phi, int at) {
    float[] u = projected[rows.worker()];
    project(rows.count(), rows.data(), rows.at(0), u, 0);
    for (int r = 0; r < rows.count(); r++) {
      int o = at + r * width;
      kernels.sinCos(m, u, r * m, phi, o + m, phi, o);
    }
  }

  /// Multiplies [cos u, sin u] by m^(-1/2), and keys by exp(g − c).
  private void scaleRows(FeatureRows rows, float[] phi, int at, boolean keys) {
    for (int r = 0; r < rows.count(); r++) {
      double factor = 1 / Math.sqrt(m);
      if (keys) {
        float g = halfNorm(rows.data(), rows.at(r));
        factor *= Math.exp(g - keyMaximum(rows, r, g));
      }
      kernels.scale(width, (float) factor, phi, at + r * width, phi, at + r * width);
    }
  }

  @Override
  public void queryGradients(FeatureRows rows, FeatureGradients gradients) {
    gradients(rows, gradients, false);
  }

  @Override
  public void keyGradients(FeatureRows rows, FeatureGradients gradients) {
    gradients(rows, gradients, true);
  }

  /// `dx = s ωᵀ du + s² x dg` with s = d^(-1/4), du and dg the gradients of u and g; the subtracted
  /// maxima are constants.
  private void gradients(FeatureRows rows, FeatureGradients gradients, boolean keys) {
    float[] ofPhi = gradients.ofPhi();
    float[] ofRows = gradients.ofRows();
    int at = gradients.at();
    int count = rows.count();
    if (!kernel.isSoftmax()) {
      kernels.keepAbove(count * width, eps, gradients.phi(), at, ofPhi, at);
    }
    if (kernel == Performer.Kernel.RELU_UNPROJECTED) {
      System.arraycopy(ofPhi, at, ofRows, 0, count * d);
      return;
    }
    float[] ofNorms = norms[rows.worker()];
    for (int r = 0; r < count && kernel.isSoftmax(); r++) {
      ofNorms[r] = ofExponents(gradients.phi(), ofPhi, at + r * width, keys);
    }
    kernels.multiply(count, d, m, ofPhi, at, width, omega, 0, d, ofRows, 0, d, false);
    kernels.scale(count * d, (float) inputScale, ofRows, 0, ofRows, 0);
    for (int r = 0; r < count && kernel.isSoftmax(); r++) {
      float factor = (float) (ofNorms[r] * inputScale * inputScale);
      kernels.axpy(d, factor, rows.data(), rows.at(r), ofRows, gradients.rowAt(r));
    }
  }

  /// Turns the gradient of one row's φ into that of u, in its first m elements; returns that of g.
  private float ofExponents(float[] phi, float[] ofPhi, int at, boolean keys) {
    int half = at + m;
    switch (kernel) {
      case SOFTMAX_HYPERBOLIC -> {
        kernels.multiplyElements(width, ofPhi, at, phi, at, ofPhi, at);
        float sum = kernels.sum(width, ofPhi, at);
        kernels.axpy(m, -1, ofPhi, half, ofPhi, at);
        return -sum;
      }
      case SOFTMAX_TRIGONOMETRIC -> {
        float sum = keys ? kernels.dot(width, ofPhi, at, phi, at) : 0;
        for (int a = 0; a < m; a++) {
          ofPhi[at + a] = ofPhi[half + a] * phi[at + a] - ofPhi[at + a] * phi[half + a];
        }
        return sum;
      }
      default -> {
        float added = keys ? 0 : eps;
        for (int a = at; a < half; a++) {
          ofPhi[a] *= phi[a] - added;
        }
        return -kernels.sum(m, ofPhi, at);
      }
    }
  }

  /// c for key r: the maximum so far, or the published one over all keys.
  private double keyMaximum(FeatureRows rows, int r, float own) {
    double c = Math.max(rows.referenceBefore(r), own);
    int first = (rows.batch() * shape.numKeyValueHeads() + rows.head()) * blocksAhead;
    for (int b = 0; b < blocksAhead; b++) {
      c = Math.max(c, maxima[first + b]);
    }
    rows.reference(r, c);
    return c;
  }

  /// u = ω x, scaled.
  private void project(int count, float[] x, int xo, float[] u, int uo) {
    kernels.multiply(count, m, d, x, xo, d, projection, 0, stride, u, uo, m, false);
  }

  /// g = |x|²/(2√d).
  private float halfNorm(float[] x, int xo) {
    return (float) (kernels.dot(d, x, xo, x, xo) * 0.5 * inputScale * inputScale);
  }
}
