package dev.crossover.variants.feature;

import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.BoundTensors;
import dev.crossover.attention.kernel.Kernels;
import dev.crossover.attention.linear.FeatureMap;
import dev.crossover.attention.linear.FeatureRows;
import dev.crossover.attention.linear.FeatureSite;
import dev.crossover.attention.linear.Segments;

/// The feature maps of [Rfa]: `c [sin W x̂, cos W x̂]` or `c relu(W x̂)`, keys times 1 − gate.
final class RfaFeatures implements FeatureMap {
  /// Keeps the logarithm of a gate of exactly 0 finite.
  private static final float LEAST_GATE = Float.MIN_NORMAL;

  private final Kernels kernels = Kernels.get();
  private final boolean gaussian;
  private final boolean gated;
  private final boolean code;
  private final int heads;
  private final int batches;
  private final int d;
  private final int m;
  private final int width;
  private final float factor;
  private final double inverseTau;
  private final float[] projection;
  private final float[][] projected;
  private final float[][] inverseNorms;
  private float[] gate = new float[0];

  RfaFeatures(Rfa rfa, FeatureSite site) {
    AttentionShape shape = site.shape();
    gaussian = rfa.kernel() == Rfa.Kernel.GAUSSIAN;
    gated = rfa.gated();
    code = rfa.variant() == Rfa.Variant.CODE;
    heads = shape.numHeads();
    batches = shape.batchSize();
    d = shape.headDim();
    m = rfa.numFeatures();
    width = rfa.width();
    factor = code ? 0.1f : (float) (1 / Math.sqrt(m));
    inverseTau = 1 / rfa.tau();
    projection = site.scratch().floats(heads * Projections.size(m, d));
    projected = new float[site.threads()][];
    inverseNorms = new float[site.threads()][];
    for (int t = 0; t < projected.length; t++) {
      inverseNorms[t] = site.scratch().floats(Segments.CHUNK);
      projected[t] = site.scratch().floats(gaussian ? (long) Segments.CHUNK * m : 0);
    }
  }

  /// Bytes the constructor allocates.
  static long scratchBytes(Rfa rfa, AttentionShape s, int threads) {
    long m = rfa.numFeatures();
    long perWorker = Segments.CHUNK * (rfa.kernel() == Rfa.Kernel.GAUSSIAN ? m + 1 : 1);
    return Float.BYTES
        * (s.numHeads() * Projections.size(rfa.numFeatures(), s.headDim()) + threads * perWorker);
  }

  @Override
  public int width() {
    return width;
  }

  @Override
  public Scaling scaling() {
    return gated ? Scaling.DECAY : Scaling.NONE;
  }

  /// Wᵀ of every head, with sigma and 1/tau in it.
  @Override
  public void begin(BoundTensors inputs) {
    if (gated) {
      gate = inputs.get("gate");
    }
    float[] w = inputs.get("random_projection");
    int stride = Projections.stride(m);
    for (int h = 0; h < heads; h++) {
      int to = h * d * stride;
      Projections.transpose(m, d, inverseTau, w, h * m * d, projection, to);
      for (int c = 0; c < d && inputs.has("sigma"); c++) {
        float sigma = inputs.get("sigma")[h * d + c];
        kernels.scale(m, sigma, projection, to + c * stride, projection, to + c * stride);
      }
    }
  }

  @Override
  public void queries(FeatureRows rows, float[] phi, int at) {
    int stride = Projections.stride(m);
    float[] u = gaussian ? projected[rows.worker()] : phi;
    int uo = gaussian ? 0 : at;
    kernels.multiply(
        rows.count(),
        m,
        d,
        rows.data(),
        rows.at(0),
        d,
        projection,
        rows.head() * d * stride,
        stride,
        u,
        uo,
        m,
        false);
    float[] inverses = inverseNorms[rows.worker()];
    for (int r = 0; r < rows.count(); r++) {
      inverses[r] = inverseNorm(rows.data(), rows.at(r));
    }
    kernels.scaleRows(rows.count(), m, inverses, 0, u, uo, m, u, uo, m);
    if (gaussian) {
      for (int r = 0; r < rows.count(); r++) {
        int o = at + r * width;
        kernels.sinCos(m, u, r * m, phi, o, phi, o + m);
      }
    } else {
      kernels.relu(rows.count() * m, 0, phi, at, phi, at);
    }
    kernels.scale(rows.count() * width, factor, phi, at, phi, at);
  }

  /// φ(k), written with weight 1 − g after everything before has been multiplied by g.
  @Override
  public void keys(FeatureRows rows, float[] phi, int at) {
    queries(rows, phi, at);
    if (!gated) {
      return;
    }
    for (int r = 0; r < rows.count(); r++) {
      float g = gate(rows, r);
      rows.reference(r, rows.referenceBefore(r) - Math.log(g));
      kernels.scale(width, 1 - g, phi, at + r * width, phi, at + r * width);
    }
  }

  /// The gate forgets at padded positions too; only nothing is written there.
  @Override
  public void padding(FeatureRows row) {
    if (gated) {
      row.reference(0, row.referenceBefore(0) - Math.log(gate(row, 0)));
    }
  }

  private float gate(FeatureRows rows, int r) {
    int length = gate.length / (batches * heads);
    int first = (rows.batch() * heads + rows.head()) * length + rows.index();
    return Math.max(gate[first + r], LEAST_GATE);
  }

  /// 1/|x|, or 1/(|x| + 1e-3); a zero vector stays zero.
  private float inverseNorm(float[] x, int xo) {
    double norm = Math.sqrt(kernels.dot(d, x, xo, x, xo));
    if (code) {
      return (float) (1 / (norm + 1e-3));
    }
    return norm == 0 ? 0 : (float) (1 / norm);
  }
}
