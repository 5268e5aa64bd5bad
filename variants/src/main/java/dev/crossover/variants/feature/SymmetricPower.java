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
import java.util.Arrays;
import org.jspecify.annotations.Nullable;

/// The features of [Power]: all monomials of degree p, one per multiset of indices, times the root
/// of the number of its orders, so that `φ(x)·φ(y) = (scale x·y)^p`; keys decay.
///
/// Monomials of degree r stand in the order of their ascending indices. Those of first index a are
/// `x_a` times the monomials of degree r − 1 over the indices from a on, which are the tail of the
/// list of degree r − 1: every list is d scaled copies of tails of the one before.
final class SymmetricPower implements FeatureMap {
  private static final float[] ABSENT = new float[0];

  private final Kernels kernels = Kernels.get();
  private final int d;
  private final int degree;
  private final int width;
  private final int heads;
  private final int problems;
  private final float scale;

  /// √(orders) · scale^(p/2) of every monomial.
  private final float[] weights;

  /// Monomials of degree r − 1 over the indices from a on, at `(r − 2) d + a`.
  private final int[] tails;

  /// Per worker, the lists of degrees 2 to p − 1 one after the other.
  private final float[][] lists;

  private final float[][] ofLists;
  private float[] logDecay = ABSENT;
  private @Nullable BoundTensors asked;

  SymmetricPower(Power power, FeatureSite site) {
    AttentionShape shape = site.shape();
    d = shape.headDim();
    degree = power.degree();
    width = width(d, degree);
    heads = shape.numKeyValueHeads();
    problems = shape.batchSize() * heads;
    scale = (float) power.scaleOf(shape);
    weights = site.scratch().floats(width);
    lists = new float[site.threads()][];
    ofLists = new float[site.threads()][0];
    for (int t = 0; t < lists.length; t++) {
      lists[t] = site.scratch().floats(between(d, degree));
    }
    tails = site.scratch().ints((degree - 1L) * d);
    for (int e = 0; e < tails.length; e++) {
      tails[e] = (int) monomials(d - e % d, e / d + 1);
    }
    if (weights.length > 0) {
      double factor = Math.pow(power.scaleOf(shape), degree / 2.0);
      weigh(0, 0, degree, 0, factor * factor * factorial(degree));
    }
  }

  /// Writes the weights of the monomials that start with given indices.
  ///
  /// @param at where they go
  /// @param least smallest index that may follow
  /// @param left indices still to come
  /// @param run how often the last index stands already
  /// @param square the square of the weight so far
  /// @return where the next ones go
  private int weigh(int at, int least, int left, int run, double square) {
    if (left == 0) {
      weights[at] = (float) Math.sqrt(square);
      return at + 1;
    }
    int next = at;
    for (int a = least; a < d; a++) {
      int times = a == least ? run + 1 : 1;
      next = weigh(next, a, left - 1, times, square / times);
    }
    return next;
  }

  private static double factorial(int n) {
    double product = 1;
    for (int i = 2; i <= n; i++) {
      product *= i;
    }
    return product;
  }

  /// Number of monomials of degree r in m variables, as a number of any size.
  static double monomials(int m, int r) {
    double count = 1;
    for (int i = 1; i <= r; i++) {
      count = count * (m + i - 1) / i;
    }
    return Math.rint(count);
  }

  /// Number of features.
  static int width(int d, int degree) {
    double count = monomials(d, degree);
    if (count > Integer.MAX_VALUE) {
      throw new ArithmeticException("features overflow: " + count);
    }
    return (int) count;
  }

  /// Monomials of degrees 2 to p − 1.
  private static long between(int d, int degree) {
    double sum = 0;
    for (int r = 2; r < degree; r++) {
      sum += monomials(d, r);
    }
    return (long) sum;
  }

  /// Operations of the features of one row.
  static double work(int d, int degree) {
    return 2.0 * width(d, degree) + between(d, degree);
  }

  /// Bytes the constructor allocates.
  static long scratchBytes(int d, int degree, int threads) {
    return Float.BYTES * (width(d, degree) + threads * between(d, degree))
        + Integer.BYTES * (degree - 1L) * d;
  }

  /// Bytes that [#allocateGradients] allocates.
  static long gradientBytes(int d, int degree, int threads) {
    return Float.BYTES * threads * between(d, degree);
  }

  @Override
  public void allocateGradients(Scratch scratch) {
    for (int t = 0; t < ofLists.length; t++) {
      ofLists[t] = scratch.floats(between(d, degree));
    }
  }

  @Override
  public int width() {
    return width;
  }

  @Override
  public Scaling scaling() {
    return Scaling.DECAY;
  }

  @Override
  public void begin(BoundTensors inputs) {
    logDecay = inputs.has("log_decay") ? inputs.get("log_decay") : ABSENT;
  }

  @Override
  public void queries(FeatureRows rows, float[] phi, int at) {
    for (int r = 0; r < rows.count(); r++) {
      int o = at + r * width;
      lists(degree, rows.data(), rows.at(r), lists[rows.worker()], phi, o);
      kernels.multiplyElements(width, phi, o, weights, 0, phi, o);
    }
  }

  /// The lists of one row up to some degree; that of degree p goes to `phi`.
  private void lists(int last, float[] x, int xo, float[] own, float[] phi, int at) {
    float[] before = x;
    int from = xo;
    int size = d;
    int next = 0;
    for (int r = 2; r <= last; r++) {
      float[] to = r == degree ? phi : own;
      int start = r == degree ? at : next;
      int o = start;
      for (int a = 0; a < d; a++) {
        int tail = tails[(r - 2) * d + a];
        kernels.scale(tail, x[xo + a], before, from + size - tail, to, o);
        o += tail;
      }
      before = to;
      from = start;
      size = o - start;
      next += size;
    }
  }

  @Override
  public void keys(FeatureRows rows, float[] phi, int at) {
    queries(rows, phi, at);
    for (int r = 0; r < rows.count() && logDecay.length > 0; r++) {
      rows.reference(r, rows.referenceBefore(r) - PowerDecays.finite(logDecay[gateAt(rows) + r]));
    }
  }

  /// The decay goes on at padded positions; what is no decay, a NaN above all, forgets nothing.
  @Override
  public void padding(FeatureRows row) {
    if (logDecay.length > 0) {
      float g = logDecay[gateAt(row)];
      row.reference(0, row.referenceBefore(0) - (g <= 0 ? PowerDecays.finite(g) : 0));
    }
  }

  private int gateAt(FeatureRows rows) {
    int length = logDecay.length / problems;
    return (rows.batch() * heads + rows.head()) * length + rows.index();
  }

  @Override
  public boolean weighsProducts() {
    return true;
  }

  /// (scale q·k)^p: inside a chunk the power is cheaper than its features.
  @Override
  public void weights(int count, float[] products, int at) {
    kernels.power(count, scale, degree, products, at);
  }

  /// p scale (scale q·k)^(p − 1).
  @Override
  public void weightSlopes(int count, float[] products, int at) {
    kernels.power(count, scale, degree - 1, products, at);
    kernels.scale(count, degree * scale, products, at, products, at);
  }

  @Override
  public void beginGradients(BoundTensors gradients) {
    asked = gradients;
  }

  @Override
  public void keyGradients(FeatureRows rows, FeatureGradients gradients) {
    queryGradients(rows, gradients);
    for (int r = 0; r < rows.count(); r++) {
      addDecay(rows, r, gradients.ofDecay(r));
    }
  }

  @Override
  public void paddingGradient(FeatureRows row, FeatureGradients gradients) {
    addDecay(row, 0, gradients.ofDecay(0));
  }

  /// From the gradient of the factor exp(g) to that of g.
  private void addDecay(FeatureRows rows, int r, double ofFactor) {
    if (asked != null && asked.has("log_decay")) {
      int at = gateAt(rows) + r;
      double factor = Math.exp(logDecay[at]);
      asked.get("log_decay")[at] += (float) (factor <= 1 ? factor * ofFactor : 0);
    }
  }

  /// Backwards through the lists: with B the gradient of the block of first index a, `dx_a += B ·
  /// tail` and the tail's gradient takes `x_a B`.
  @Override
  public void queryGradients(FeatureRows rows, FeatureGradients gradients) {
    float[] x = rows.data();
    float[] own = lists[rows.worker()];
    float[] ofOwn = ofLists[rows.worker()];
    float[] ofPhi = gradients.ofPhi();
    float[] ofRows = gradients.ofRows();
    for (int row = 0; row < rows.count(); row++) {
      int xo = rows.at(row);
      int to = gradients.rowAt(row);
      int o = gradients.at() + row * width;
      lists(degree - 1, x, xo, own, ofPhi, o);
      kernels.multiplyElements(width, ofPhi, o, weights, 0, ofPhi, o);
      Arrays.fill(ofOwn, 0);
      Arrays.fill(ofRows, to, to + d, 0);
      int end = ofOwn.length;
      float[] of = ofPhi;
      int from = o;
      for (int r = degree; r >= 2; r--) {
        int size = tails[(r - 2) * d];
        float[] below = r == 2 ? x : own;
        float[] ofBelow = r == 2 ? ofRows : ofOwn;
        int start = r == 2 ? xo : end - size;
        int ofStart = r == 2 ? to : end - size;
        int block = from;
        for (int a = 0; a < d; a++) {
          int tail = tails[(r - 2) * d + a];
          int skipped = size - tail;
          ofRows[to + a] += kernels.dot(tail, of, block, below, start + skipped);
          kernels.axpy(tail, x[xo + a], of, block, ofBelow, ofStart + skipped);
          block += tail;
        }
        of = ofBelow;
        from = ofStart;
        end -= r == 2 ? 0 : size;
      }
    }
  }
}
