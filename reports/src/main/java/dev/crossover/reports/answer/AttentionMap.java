// SPDX-License-Identifier: Apache-2.0
package dev.crossover.reports.answer;

import dev.crossover.attention.Attention;
import dev.crossover.attention.AttentionPlan;
import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.ExactTarget;
import dev.crossover.attention.Mask;
import dev.crossover.attention.Tensors;
import dev.crossover.attention.mechanism.Mechanism.Approximates;
import dev.crossover.attention.tensor.Tensor;
import dev.crossover.bench.error.ErrorStudy;
import dev.crossover.bench.input.InputSource;
import dev.crossover.bench.result.ResultRecord.Study;
import dev.crossover.variants.Catalogue;
import java.io.IOException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/// The weights with which one head of a mechanism mixes values, beside those of exact attention.
///
/// Every approximation of softmax attention is linear in its values, so its weights are what it
/// returns for unit vectors as values: column j of the weights is the output for a value that is
/// one at key j and zero elsewhere. Unit vectors are passed as many at a time as a value row is
/// wide, so that mechanisms which tie the value width to the head width are seen too.
public final class AttentionMap {
  /// Most positions of a map.
  public static final int MOST_POSITIONS = 512;

  private final String label;
  private final String spec;
  private final int n;
  private final float[] weights;
  private final float[] exact;

  private AttentionMap(String label, String spec, int n, float[] weights, float[] exact) {
    this.label = label;
    this.spec = spec;
    this.n = n;
    this.weights = weights;
    this.exact = exact;
  }

  /// Maps of the approximations of a panel on the first positions of its input, head 0.
  ///
  /// A mechanism that the catalogue does not know or that refuses the shape is left out; so are all
  /// when the input cannot be read here.
  public static List<AttentionMap> of(Panel panel) {
    Panel.Key key = panel.key();
    if (key.study() != Study.FORWARD
        || key.crossLength() > 0
        || !List.of("none", "causal").contains(key.mask())) {
      return List.of();
    }
    try {
      InputSource input = InputSource.parse(key.input());
      int n = Math.min(Math.min(MOST_POSITIONS, input.maxSeqLen()), panel.lengths().getLast());
      AttentionShape shape = input.shapeFor(AttentionShape.of(1, key.heads(), n, key.headDim()));
      List<AttentionMap> maps = new ArrayList<>();
      for (Series series : panel.series()) {
        if (series.approximates() == Approximates.SOFTMAX) {
          add(maps, panel, series, shape, input);
        }
      }
      return List.copyOf(maps);
    } catch (IOException | RuntimeException e) {
      return List.of();
    }
  }

  private static void add(
      List<AttentionMap> maps, Panel panel, Series series, AttentionShape shape, InputSource input)
      throws IOException {
    Mask mask = panel.key().mask().equals("causal") ? Mask.causal() : Mask.none();
    long seed = series.points().getFirst().first().seed();
    try {
      Attention attention = Catalogue.parse(series.spec());
      Tensors inputs = attention.adapt(shape, input.load(shape, seed), seed);
      int threads = panel.key().threads();
      ExactTarget target = attention.exactTarget(shape, mask, inputs);
      AttentionPlan plan = attention.plan(shape, mask, threads);
      Tensor output = Tensor.zeros(attention.outputShape(shape));
      int n = shape.querySeqLen();
      float[] weights = new float[n * n];
      float[] exact = new float[n * n];
      for (int first = 0; first < n; first += shape.valueDim()) {
        Tensor units = units(shape, first);
        plan.forward(inputs.with("v", units), output);
        copy(output, weights, n, first);
        copy(ErrorStudy.exact(withValue(target, units), threads), exact, n, first);
      }
      maps.add(new AttentionMap(series.label(), series.spec(), n, weights, exact));
    } catch (IllegalArgumentException e) {
      // a shape or setting the mechanism refuses: there is no picture of it
    }
  }

  private static ExactTarget withValue(ExactTarget target, Tensor value) {
    return new ExactTarget(
        target.shape(),
        target.mask(),
        target.query(),
        target.key(),
        value,
        target.scale(),
        target.selfLast());
  }

  /// Values that are unit vectors for the keys from `first` on, as many as a row is wide.
  private static Tensor units(AttentionShape shape, int first) {
    int dv = shape.valueDim();
    Tensor value = Tensor.zeros(1, shape.numKeyValueHeads(), shape.keySeqLen(), dv);
    for (int head = 0; head < shape.numKeyValueHeads(); head++) {
      for (int column = 0; column < dv && first + column < shape.keySeqLen(); column++) {
        value.data()[shape.valueOffset(0, head) + (first + column) * dv + column] = 1;
      }
    }
    return value;
  }

  /// Head 0's rows of an output into the columns of a map.
  private static void copy(Tensor output, float[] map, int n, int first) {
    int dv = output.extent(output.rank() - 1);
    for (int row = 0; row < n; row++) {
      int columns = Math.min(dv, n - first);
      System.arraycopy(output.data(), row * dv, map, row * n + first, columns);
    }
  }

  /// What the mechanism is called.
  public String label() {
    return label;
  }

  /// `name:param=value,…` of the mechanism.
  public String spec() {
    return spec;
  }

  /// Number of queries and of keys.
  public int positions() {
    return n;
  }

  /// The mechanism's weight of a key in a query's output; negative for some mechanisms.
  public float weight(int query, int key) {
    return weights[query * n + key];
  }

  /// Exact attention's weight.
  public float exactWeight(int query, int key) {
    return exact[query * n + key];
  }

  /// Whether two maps are compared with the same exact weights.
  public boolean sameExact(AttentionMap other) {
    return Arrays.equals(exact, other.exact);
  }

  /// Mean over queries of half the sum of absolute differences of weights: 0 when equal, 1 when
  /// disjoint.
  public double totalVariation() {
    double sum = 0;
    for (int i = 0; i < weights.length; i++) {
      sum += Math.abs((double) weights[i] - exact[i]);
    }
    return sum / (2 * n);
  }
}
