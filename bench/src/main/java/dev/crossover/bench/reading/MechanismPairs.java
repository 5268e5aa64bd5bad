// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.reading;

import dev.crossover.attention.Attention;
import dev.crossover.attention.AttentionPlan;
import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.Axis;
import dev.crossover.attention.Capabilities.Causality;
import dev.crossover.attention.Mask;
import dev.crossover.attention.TensorSpec;
import dev.crossover.attention.Tensors;
import dev.crossover.attention.random.Draws;
import dev.crossover.attention.tensor.Tensor;
import dev.crossover.variants.Catalogue;
import java.util.ArrayList;
import java.util.BitSet;
import java.util.List;
import java.util.Optional;

/// The pairs that a mechanism really lets see each other, found by running it: one token's value is
/// drawn, all others are zero, and the outputs that change by a single bit depend on it.
///
/// Mechanisms of model width, which take no values, have the token's own row changed instead, and
/// those whose values are made of a latent have that changed.
/// Queries and keys are drawn from a seed, small enough that no weight of a softmax or of a decay
/// underflows. For mechanisms that select or hash, the pairs belong to these tensors.
public final class MechanismPairs {
  private static final int HEADS = 2;
  private static final int DIM = 32;
  private static final double SMALL = 0.3;

  private final AttentionPlan plan;
  private final Tensors inputs;
  private final String varied;
  private final List<Axis> axes;
  private final int n;
  private final Tensor output;
  private final Tensor unchanged;

  private MechanismPairs(Attention attention, AttentionShape shape, Mask mask, Tensors inputs) {
    this.plan = attention.plan(shape, mask, 1);
    this.varied = inputs.has("v") ? "v" : tokenRow(attention.inputs(shape));
    this.axes = attention.outputAxes();
    this.n = shape.querySeqLen();
    Tensor given = inputs.get(varied);
    this.inputs =
        inputs.with(varied, varied.equals("v") ? Tensor.zeros(given.shape()) : given.copy());
    this.output = Tensor.zeros(attention.outputShape(shape));
    plan.forward(this.inputs, output);
    this.unchanged = output.copy();
  }

  /// The tokens' rows of a mechanism that makes values of them: the first input that has positions
  /// and no heads.
  private static String tokenRow(List<TensorSpec> specs) {
    return specs.stream()
        .filter(spec -> spec.has(Axis.QUERY, Axis.KEY))
        .filter(spec -> !spec.has(Axis.HEADS, Axis.KEY_VALUE_HEADS))
        .findFirst()
        .orElseThrow()
        .name();
  }

  /// The pairs of all heads of one layer; empty when the mechanism cannot honour the mask or
  /// refuses the sizes.
  ///
  /// @param spec `name:param=value,…`
  /// @param n positions
  /// @param seed seed of queries, keys and values
  public static Optional<VisiblePairs> of(String spec, int n, boolean causal, long seed) {
    return of(spec, n, causal, seed, Tensors.NONE);
  }

  /// As [#of(String, int, boolean, long)], with more tensors of the mechanism, for example a
  /// `global_mask`.
  public static Optional<VisiblePairs> of(
      String spec, int n, boolean causal, long seed, Tensors more) {
    return heads(spec, n, causal, seed, more).map(VisiblePairs::union);
  }

  /// The pairs of each head; those of a mechanism of model width are one.
  public static Optional<List<VisiblePairs>> heads(
      String spec, int n, boolean causal, long seed, Tensors more) {
    Attention attention = Catalogue.parse(spec);
    Causality causality = attention.capabilities().causal();
    if (causality == (causal ? Causality.NEVER : Causality.ALWAYS)) {
      return Optional.empty();
    }
    AttentionShape shape = AttentionShape.of(1, HEADS, n, DIM);
    try {
      Tensors inputs = attention.adapt(shape, drawn(n, seed), seed);
      for (int t = 0; t < more.size(); t++) {
        inputs = inputs.with(more.name(t), more.tensor(t));
      }
      Mask mask = causal ? Mask.causal() : Mask.none();
      return Optional.of(new MechanismPairs(attention, shape, mask, inputs).pairs(seed));
    } catch (IllegalArgumentException e) {
      return Optional.empty();
    }
  }

  private static Tensors drawn(int n, long seed) {
    return Tensors.qkv(
        Draws.gaussian(Draws.seedFor(seed, "q"), SMALL, 1, HEADS, n, DIM),
        Draws.gaussian(Draws.seedFor(seed, "k"), SMALL, 1, HEADS, n, DIM),
        Draws.gaussian(Draws.seedFor(seed, "v"), 1, HEADS, n, DIM));
  }

  private List<VisiblePairs> pairs(long seed) {
    float[] tokens = inputs.get(varied).data();
    float[] saved = tokens.clone();
    float[] drawn = Draws.gaussian(Draws.seedFor(seed, "token"), inputs.get(varied).shape()).data();
    int headAxis = Axis.dimension(axes, Axis.HEADS);
    int heads = headAxis < 0 ? 1 : output.extent(headAxis);
    BitSet[][] readers = new BitSet[heads][n];
    for (int j = 0; j < n; j++) {
      for (int e = 0; e < tokens.length; e++) {
        tokens[e] = position(inputs.get(varied), e) == j ? saved[e] + drawn[e] : saved[e];
      }
      plan.forward(inputs, output);
      for (int h = 0; h < heads; h++) {
        readers[h][j] = new BitSet(n);
      }
      for (int e = 0; e < output.size(); e++) {
        if (Float.compare(output.data()[e], unchanged.data()[e]) != 0) {
          readers[e / (output.size() / heads)][j].set(position(output, e));
        }
      }
    }
    List<VisiblePairs> pairs = new ArrayList<>();
    for (BitSet[] head : readers) {
      pairs.add(VisiblePairs.of(n, (i, j) -> head[j].get(i)));
    }
    return pairs;
  }

  /// The position that an element belongs to: the last dimension but one counts them.
  private static int position(Tensor tensor, int element) {
    int rank = tensor.rank();
    return element / tensor.extent(rank - 1) % tensor.extent(rank - 2);
  }

  /// A mask of global tokens with a single one.
  public static Tensor globalToken(int n, int position) {
    Tensor mask = Tensor.zeros(1, n);
    mask.data()[position] = 1;
    return mask;
  }
}
