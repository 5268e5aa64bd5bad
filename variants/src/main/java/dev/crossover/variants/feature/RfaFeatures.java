// SPDX-License-Identifier: Apache-2.0
package dev.crossover.variants.feature;

import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.BoundTensors;
import dev.crossover.attention.Scratch;
import dev.crossover.attention.kernel.Kernels;
import dev.crossover.attention.linear.FeatureGradients;
import dev.crossover.attention.linear.FeatureMap;
import dev.crossover.attention.linear.FeatureRows;
import dev.crossover.attention.linear.FeatureSite;
import dev.crossover.attention.linear.Segments;
import org.jspecify.annotations.Nullable;

/// The feature maps of [Rfa]: `c [sin W x̂, cos W x̂]` or `c relu(W x̂)`, keys times 1 − gate.
final class RfaFeatures implements FeatureMap {
  /// Keeps the logarithm of a gate of exactly 0 finite.
  private static final float LEAST_GATE = Float.MIN_NORMAL;

  private static final float[] NONE = {};

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
  private final float[][] ofProjected;
  private float[] gate = NONE;
  private float[] omega = NONE;
  private float[] sigma = NONE;
  private @Nullable BoundTensors asked;

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
    ofProjected = new float[site.threads()][0];
  }

  @Override
  public void allocateGradients(Scratch scratch) {
    for (int t = 0; t < ofProjected.length; t++) {
      ofProjected[t] = scratch.floats((long) Segments.CHUNK * m);
    }
  }

  /// Bytes that [#allocateGradients] allocates.
  static long gradientBytes(Rfa rfa, int threads) {
    return (long) threads * Segments.CHUNK * rfa.numFeatures() * Float.BYTES;
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
    omega = w;
    sigma = inputs.has("sigma") ? inputs.get("sigma") : NONE;
    int stride = Projections.stride(m);
    for (int h = 0; h < heads; h++) {
      int to = h * d * stride;
      Projections.transpose(m, d, inverseTau, w, h * m * d, projection, to);
      for (int c = 0; c < d && sigma.length > 0; c++) {
        kernels.scale(
            m, sigma[h * d + c], projection, to + c * stride, projection, to + c * stride);
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

  /// The gate forgets at padded positions too; only nothing is written there. What is no gate, a
  /// NaN above all, forgets nothing.
  @Override
  public void padding(FeatureRows row) {
    if (gated) {
      float g = gate(row, 0);
      row.reference(0, row.referenceBefore(0) - (g <= 1 ? Math.log(g) : 0));
    }
  }

  private float gate(FeatureRows rows, int r) {
    return Math.max(gate[gateAt(rows) + r], LEAST_GATE);
  }

  private int gateAt(FeatureRows rows) {
    int length = gate.length / (batches * heads);
    return (rows.batch() * heads + rows.head()) * length + rows.index();
  }

  @Override
  public int queryParameters() {
    return d;
  }

  @Override
  public int keyParameters() {
    return d;
  }

  @Override
  public void beginGradients(BoundTensors gradients) {
    asked = gradients;
  }

  @Override
  public void addQueryParameters(int head, float[] sums, int at) {
    if (asked != null && asked.has("sigma")) {
      float[] gradient = asked.get("sigma");
      kernels.add(d, gradient, head * d, sums, at, gradient, head * d);
    }
  }

  @Override
  public void addKeyParameters(int head, float[] sums, int at) {
    addQueryParameters(head, sums, at);
  }

  /// A gate both weakens what came before and strengthens what its key writes: `dg = dγ − φ·dφ`
  /// with φ before it is multiplied by 1 − g.
  @Override
  public void keyGradients(FeatureRows rows, FeatureGradients gradients) {
    if (!gated) {
      queryGradients(rows, gradients);
      return;
    }
    float[] phi = gradients.phi();
    float[] ofPhi = gradients.ofPhi();
    queries(rows, phi, gradients.at());
    for (int r = 0; r < rows.count(); r++) {
      int o = gradients.at() + r * width;
      double ofWrite = kernels.dot(width, ofPhi, o, phi, o);
      addGate(rows, r, gradients.ofDecay(r) - ofWrite);
      kernels.scale(width, 1 - gate(rows, r), ofPhi, o, ofPhi, o);
    }
    queryGradients(rows, gradients);
  }

  /// A padded key is not written, but its gate forgets.
  @Override
  public void paddingGradient(FeatureRows row, FeatureGradients gradients) {
    if (gated) {
      addGate(row, 0, gradients.ofDecay(0));
    }
  }

  private void addGate(FeatureRows rows, int r, double value) {
    if (asked != null && asked.has("gate")) {
      asked.get("gate")[gateAt(rows) + r] += (float) value;
    }
  }

  /// With x̂ = n x the row's normalised form and `y = ωᵀ du / tau`: `dx̂ = sigma y`, `dsigma += x̂
  /// y` and `dx = n (dx̂ − x (x·dx̂) n/|x|)`, where n is 1/|x| or 1/(|x| + 1e-3).
  @Override
  public void queryGradients(FeatureRows rows, FeatureGradients gradients) {
    float[] du = ofProjected[rows.worker()];
    for (int r = 0; r < rows.count(); r++) {
      ofExponents(gradients.phi(), gradients.ofPhi(), gradients.at() + r * width, du, r * m);
    }
    float[] y = gradients.ofRows();
    int map = rows.head() * m * d;
    kernels.multiply(rows.count(), d, m, du, 0, m, omega, map, d, y, 0, d, false);
    float[] x = rows.data();
    float[] sums = gradients.parameters();
    int sumsAt = gradients.parametersAt();
    for (int r = 0; r < rows.count(); r++) {
      int at = rows.at(r);
      int to = gradients.rowAt(r);
      float inverse = inverseNorm(x, at);
      kernels.scale(d, (float) inverseTau, y, to, y, to);
      for (int c = 0; c < d && sigma.length > 0; c++) {
        sums[sumsAt + c] += inverse * x[at + c] * y[to + c];
        y[to + c] *= sigma[rows.head() * d + c];
      }
      double norm = Math.sqrt(kernels.dot(d, x, at, x, at));
      double along = norm == 0 ? 0 : kernels.dot(d, x, at, y, to) * inverse / norm;
      kernels.axpy(d, (float) -along, x, at, y, to);
      kernels.scale(d, inverse, y, to, y, to);
    }
  }

  /// The gradient of `u = W x̂` from that of one row's φ.
  private void ofExponents(float[] phi, float[] ofPhi, int at, float[] du, int to) {
    if (gaussian) {
      for (int a = 0; a < m; a++) {
        du[to + a] = ofPhi[at + a] * phi[at + m + a] - ofPhi[at + m + a] * phi[at + a];
      }
    } else {
      kernels.scale(m, factor, ofPhi, at, du, to);
      kernels.keepAbove(m, 0, phi, at, du, to);
    }
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
