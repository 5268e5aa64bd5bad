// SPDX-License-Identifier: Apache-2.0
package dev.crossover.models.pretrained;

import dev.crossover.attention.tensor.Tensor;
import dev.crossover.models.graph.Graph;
import dev.crossover.models.graph.Parameters;
import dev.crossover.models.graph.Rows;
import dev.crossover.models.graph.Value;
import dev.crossover.models.layer.DropoutStep;
import dev.crossover.models.layer.HeadTensors;
import dev.crossover.models.layer.Layers;
import dev.crossover.models.layer.Layers.HeadValues;
import dev.crossover.models.layer.Padding;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;

/// A [MiniLm] planned for one shape around one mechanism; nothing is trained.
///
/// ```java
/// SentenceEncoder encoder = SentenceEncoder.plan(model, AttentionCore.EXACT, 1, ids.length, 2);
/// double[][] embeddings = encoder.embed(ids, null);
/// ```
///
/// The same bits for any number of threads.
public final class SentenceEncoder {
  private final Graph graph;
  private final int batch;
  private final int length;
  private final int width;
  private final int vocabulary;
  private final int[] tokens;
  private final Padding padding;
  private final List<Value> hidden = new ArrayList<>();
  private final List<HeadValues> heads;
  private final Value pooled;

  private SentenceEncoder(
      MiniLm model, AttentionCore core, int batch, int length, boolean keeps, int threads) {
    this.batch = batch;
    this.length = length;
    this.width = model.width();
    Parameters parameters = model.parameters(core);
    vocabulary = parameters.get("embedding.weight").value().extent(0);
    graph = new Graph(parameters, false, _ -> false, threads);
    Rows rows = new Rows(batch, length);
    tokens = graph.layout().ints(rows.capacity());
    padding = new Padding(batch, length);
    Layers layers = new Layers(graph, model.options(), new DropoutStep());
    layers.replaceMechanisms(core.mechanism());
    if (keeps) {
      layers.keepHeads();
    }
    Value x = layers.embedding("", rows, tokens, "embedding.weight");
    x = layers.positions("", x, "positions.weight");
    x = keep(layers.norm("embedding_norm.", x, padding), keeps);
    for (int i = 0; i < model.layers(); i++) {
      x = layers.block("layers." + i + ".", i, x, false, padding, null, padding);
      x = keep(x, keeps);
    }
    heads = layers.keptHeads();
    pooled = layers.pool(x, new Rows(batch, 1), padding).pin();
    graph.finish();
  }

  private Value keep(Value value, boolean keeps) {
    if (keeps) {
      hidden.add(value.pin());
    }
    return value;
  }

  /// Plans a batch of texts of one length.
  ///
  /// @param batch number of texts
  /// @param length tokens of each, padding included
  /// @param threads number of threads, at least 1
  /// @throws IllegalArgumentException if the mechanism cannot stand in an encoder, by name
  public static SentenceEncoder plan(
      MiniLm model, AttentionCore core, int batch, int length, int threads) {
    return new SentenceEncoder(model, core, batch, length, false, threads);
  }

  /// The same, keeping hidden states, queries, keys, values and head outputs of every layer.
  public static SentenceEncoder keeping(
      MiniLm model, AttentionCore core, int batch, int length, int threads) {
    return new SentenceEncoder(model, core, batch, length, true, threads);
  }

  /// The embeddings of texts, each of length 1.
  ///
  /// @param ids `[batch, length]`
  /// @param real true for real tokens, at least one in each text; null: all are
  /// @return `[batch][width]`
  public double[][] embed(int[] ids, boolean @Nullable [] real) {
    if (ids.length != tokens.length) {
      throw new IllegalArgumentException(
          "ids must be " + tokens.length + " numbers, but was " + ids.length);
    }
    for (int i = 0; i < ids.length; i++) {
      if (ids[i] < 0 || ids[i] >= vocabulary) {
        throw new IllegalArgumentException(
            "ids must be from 0 to " + (vocabulary - 1) + ", but was " + ids[i]);
      }
    }
    System.arraycopy(ids, 0, tokens, 0, ids.length);
    requireReal(real);
    padding.set(real);
    graph.forward();
    double[][] embeddings = new double[batch][width];
    for (int b = 0; b < batch; b++) {
      double squares = 0;
      for (int c = 0; c < width; c++) {
        double value = pooled.data()[b * width + c];
        embeddings[b][c] = value;
        squares += value * value;
      }
      double norm = Math.sqrt(squares);
      for (int c = 0; c < width; c++) {
        embeddings[b][c] /= norm;
      }
    }
    return embeddings;
  }

  private void requireReal(boolean @Nullable [] real) {
    for (int b = 0; real != null && b < batch && real.length == batch * length; b++) {
      boolean any = false;
      for (int t = 0; t < length; t++) {
        any |= real[b * length + t];
      }
      if (!any) {
        throw new IllegalArgumentException(
            "real must hold a token of every text, but text " + b + " has none");
      }
    }
  }

  /// The hidden state after the embedding (0) or after a layer (from 1), `[batch, length, width]`;
  /// written anew by the next [#embed].
  public Tensor hidden(int layer) {
    if (hidden.isEmpty()) {
      throw new IllegalStateException("hidden states must be asked of a plan that keeps them");
    }
    return Tensor.of(hidden.get(layer).data(), batch, length, width);
  }

  /// Queries, keys, values and head outputs of the last [#embed], copied.
  ///
  /// @param layer from 0
  public HeadTensors heads(int layer) {
    if (heads.isEmpty()) {
      throw new IllegalStateException("heads must be asked of a plan that keeps them");
    }
    return HeadTensors.copyOf(heads.get(layer));
  }

  /// Bytes of everything the plan allocated; weights not included.
  public long bytes() {
    return graph.bytes();
  }
}
