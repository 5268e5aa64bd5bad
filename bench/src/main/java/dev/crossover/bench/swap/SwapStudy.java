// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.swap;

import dev.crossover.attention.Attention;
import dev.crossover.attention.AttentionPlan;
import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.Mask;
import dev.crossover.attention.TensorSpec;
import dev.crossover.attention.Tensors;
import dev.crossover.attention.exact.Materialised;
import dev.crossover.attention.exact.Tiled;
import dev.crossover.attention.tensor.Tensor;
import dev.crossover.models.layer.HeadTensors;
import dev.crossover.models.pretrained.AttentionCore;
import dev.crossover.models.pretrained.MiniLm;
import dev.crossover.models.pretrained.SentenceEncoder;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/// What exchanging a trained encoder's attention does to its answers, nothing retrained.
///
/// Every text is read alone: batch 1, its own length, no mask. In all layers softmax attention over
/// the heads' queries, keys and values is replaced; nothing else changes. The output error is that
/// of single attention calls on the ORIGINAL model's queries, keys and values, so that it sees no
/// drift that earlier layers caused.
///
/// The original activations of all texts are kept: four floats per token, layer and channel.
public final class SwapStudy {
  private static final int MOST_TOKENS = 1 << 15;
  private static final double SAME_COSINE = 1e-6;
  private static final double SAME_ERROR = 1e-5;

  private final MiniLm model;
  private final int threads;
  private final List<int[]> texts;
  private final double[][] originals;
  private final List<List<HeadTensors>> activations = new ArrayList<>();

  /// What came of one setting.
  ///
  /// @param embeddings of every text
  /// @param cosines of original and swapped embedding, by text
  /// @param errors relative output errors, by text and layer
  /// @param rank Spearman's correlation of the similarities of all pairs of texts
  /// @param nearest share of texts with the same most similar other text
  /// @param work floating-point operations beside those of exact attention, all texts together
  public record Outcome(
      double[][] embeddings,
      double[] cosines,
      double[][] errors,
      double rank,
      double nearest,
      double work) {}

  /// Reads all texts with the original model.
  ///
  /// @param texts token numbers of each, special ones included, at least two texts
  /// @param threads number of threads, at least 1; any number gives the same bits
  /// @throws IllegalArgumentException if there are too few texts or too many tokens
  public SwapStudy(MiniLm model, List<int[]> texts, int threads) {
    this.model = model;
    this.threads = threads;
    this.texts = List.copyOf(texts);
    long tokens = texts.stream().mapToLong(text -> text.length).sum();
    if (texts.size() < 2 || tokens > MOST_TOKENS) {
      throw new IllegalArgumentException(
          "texts must be at least 2 with at most "
              + MOST_TOKENS
              + " tokens together, but were "
              + texts.size()
              + " with "
              + tokens);
    }
    originals = new double[texts.size()][];
    for (int t = 0; t < originals.length; t++) {
      SentenceEncoder encoder =
          SentenceEncoder.keeping(model, AttentionCore.EXACT, 1, texts.get(t).length, threads);
      originals[t] = encoder.embed(texts.get(t), null)[0];
      List<HeadTensors> layers = new ArrayList<>();
      for (int layer = 0; layer < model.layers(); layer++) {
        layers.add(encoder.heads(layer));
      }
      activations.add(layers);
    }
  }

  /// The original embeddings, by text.
  public double[][] originals() {
    return originals;
  }

  /// Number of tokens of each text.
  public int[] lengths() {
    return texts.stream().mapToInt(text -> text.length).toArray();
  }

  /// Swaps in the other exact baseline, which must reproduce the original: the study's check of
  /// itself.
  ///
  /// @throws IllegalStateException if it does not
  public Outcome check() {
    return requireExact(run(SwapSetting.parse(new Materialised().name())));
  }

  /// Refuses what an exact mechanism must not give.
  static Outcome requireExact(Outcome outcome) {
    double least = Arrays.stream(outcome.cosines()).min().orElse(Double.NaN);
    double most = Arrays.stream(outcome.errors()).flatMapToDouble(Arrays::stream).max().orElse(0);
    if (!(least >= 1 - SAME_COSINE) || !(most <= SAME_ERROR)) {
      throw new IllegalStateException(
          "an exact mechanism swapped in must reproduce the original (cosine >= 1 - "
              + SAME_COSINE
              + ", output error <= "
              + SAME_ERROR
              + "), but the least cosine was "
              + least
              + " and the largest error "
              + most);
    }
    return outcome;
  }

  /// Swaps a setting into all layers and reads all texts again.
  ///
  /// @throws IllegalArgumentException if the mechanism cannot stand in an encoder, by name
  /// @throws UnsupportedOperationException likewise
  public Outcome run(SwapSetting setting) {
    double[][] swapped = new double[texts.size()][];
    double[][] errors = new double[texts.size()][];
    double work = 0;
    double exactWork = 0;
    for (int t = 0; t < swapped.length; t++) {
      int[] ids = texts.get(t);
      AttentionCore core = setting.at(ids.length);
      AttentionShape shape =
          AttentionShape.of(1, model.heads(), ids.length, model.width() / model.heads());
      work += core.mechanism().cost(shape, Mask.none(), 1).flops();
      exactWork += new Tiled().cost(shape, Mask.none(), 1).flops();
      errors[t] = errors(core, shape, activations.get(t));
      swapped[t] = SentenceEncoder.plan(model, core, 1, ids.length, threads).embed(ids, null)[0];
    }
    return new Outcome(
        swapped,
        Agreement.cosines(originals, swapped),
        errors,
        Agreement.rank(originals, swapped),
        Agreement.nearest(originals, swapped),
        work / exactWork);
  }

  private double[] errors(AttentionCore core, AttentionShape shape, List<HeadTensors> layers) {
    Attention mechanism = core.mechanism();
    AttentionPlan plan = mechanism.plan(shape, Mask.none(), threads);
    Tensor out = Tensor.zeros(mechanism.outputShape(shape));
    double[] errors = new double[layers.size()];
    for (int layer = 0; layer < errors.length; layer++) {
      HeadTensors heads = layers.get(layer);
      plan.forward(inputs(core, shape, heads), out);
      errors[layer] = relative(out.data(), heads.out().data());
    }
    return errors;
  }

  private static Tensors inputs(AttentionCore core, AttentionShape shape, HeadTensors heads) {
    Tensors inputs = Tensors.NONE;
    for (TensorSpec spec : core.mechanism().inputs(shape)) {
      String name = spec.name();
      Tensor own = core.tensors().get(name);
      switch (name) {
        case "q" -> inputs = inputs.with(name, heads.query());
        case "k" -> inputs = inputs.with(name, heads.key());
        case "v" -> inputs = inputs.with(name, heads.value());
        case "qk" ->
            inputs = inputs.with(name, core.queriesFromKeys() ? heads.key() : heads.query());
        default -> inputs = own == null ? inputs : inputs.with(name, own);
      }
    }
    return inputs;
  }

  /// ‖out − exact‖ / ‖exact‖ over all heads together.
  private static double relative(float[] out, float[] exact) {
    double distance = 0;
    double norm = 0;
    for (int i = 0; i < exact.length; i++) {
      double difference = (double) out[i] - exact[i];
      distance += difference * difference;
      norm += (double) exact[i] * exact[i];
    }
    return Math.sqrt(distance / norm);
  }
}
