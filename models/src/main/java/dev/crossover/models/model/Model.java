// SPDX-License-Identifier: Apache-2.0
package dev.crossover.models.model;

import dev.crossover.attention.tensor.Tensor;
import dev.crossover.models.graph.Graph;
import dev.crossover.models.graph.Parameter;
import dev.crossover.models.graph.Parameters;
import dev.crossover.models.graph.Rows;
import dev.crossover.models.graph.Value;
import dev.crossover.models.layer.CrossEntropy;
import dev.crossover.models.layer.Decoding;
import dev.crossover.models.layer.DropoutStep;
import dev.crossover.models.layer.HeadTensors;
import dev.crossover.models.layer.LayerOptions;
import dev.crossover.models.layer.Layers;
import dev.crossover.models.layer.MeanSquares;
import dev.crossover.models.layer.NormKind;
import dev.crossover.models.layer.Padding;
import dev.crossover.models.layer.Selection;
import java.util.List;
import java.util.function.Predicate;
import org.jspecify.annotations.Nullable;

/// A model planned for one shape: embedding, blocks, final norm, head, loss; forward and backward
/// without allocation, same bits for any number of threads.
///
/// ```java
/// Model model = Model.plan(kind, options, parameters, shape, Purpose.TRAIN, 2);
/// parameters.clearGradients();
/// double loss = model.loss(batch);
/// model.backward();
/// ```
///
/// What the parameters hold decides what there is: a `head.weight` or the embedding again, biases,
/// a `final_norm`, gates. Norm and head work on the labelled rows only; the logits of others are
/// never computed. Several plans may share one store of parameters.
public final class Model {
  private static final String EMBEDDING = "embedding.weight";
  private static final String HEAD = "head.weight";

  private final Graph graph;
  private final ModelKind kind;
  private final LayerOptions options;
  private final Parameters parameters;
  private final ModelShape shape;
  private final DropoutStep step = new DropoutStep();
  private final Layers layers;
  private final int[] tokens;
  private final int[] source;
  private final Padding padding;
  private final Padding sourcePadding;
  private final Rows rows;
  private final Rows sourceRows;
  private final int classes;
  private final @Nullable Selection selection;
  private final @Nullable CrossEntropy entropy;
  private final @Nullable Value logits;
  private final List<MeanSquares> transfers;
  private final List<Layers.HeadValues> heads;

  private Model(
      ModelKind kind,
      LayerOptions options,
      Parameters parameters,
      ModelShape shape,
      Purpose purpose,
      Predicate<String> trained,
      Layers.@Nullable Transfer transfer,
      @Nullable Decoding decoding,
      int threads) {
    this.kind = kind;
    this.options = options;
    this.parameters = parameters;
    this.shape = shape;
    refuseLeaks();
    graph = new Graph(parameters, purpose == Purpose.TRAIN, trained, threads);
    layers = new Layers(graph, options, step, decoding);
    rows = new Rows(shape.batch(), shape.length());
    sourceRows = new Rows(shape.batch(), Math.max(1, shape.sourceLength()));
    tokens = graph.layout().ints(rows.capacity());
    source = graph.layout().ints(sourceRows.capacity());
    padding = new Padding(shape.batch(), shape.length());
    sourcePadding = new Padding(shape.batch(), Math.max(1, shape.sourceLength()));
    Parameter head = parameters.has(HEAD) ? parameters.get(HEAD) : parameters.get(table());
    classes = head.value().extent(0);
    if (transfer != null) {
      layers.transfer(transfer);
    }
    if (purpose == Purpose.HEADS) {
      layers.keepHeads();
    }
    Value hidden = blocks();
    transfers = layers.transfers();
    heads = layers.keptHeads();
    if (transfer != null || purpose == Purpose.HEADS) {
      selection = null;
      entropy = null;
      logits = null;
    } else {
      boolean wholeNorm = kind == ModelKind.CLASSIFIER || options.norm() == NormKind.BATCH;
      if (wholeNorm) {
        hidden = finalNorm(hidden);
      }
      if (kind == ModelKind.CLASSIFIER) {
        hidden = layers.pool(hidden, new Rows(shape.batch(), 1), padding);
      }
      int labelRows = hidden.rows().capacity();
      selection =
          purpose == Purpose.LOGITS
              ? null
              : new Selection(graph.layout(), labelRows, Math.min(labelRows, shape.labelled()));
      if (selection != null) {
        hidden = layers.gather(hidden, selection);
      }
      if (!wholeNorm) {
        hidden = finalNorm(hidden);
      }
      logits = layers.map("head", hidden, head.name(), "head.bias").pin();
      entropy = selection == null ? null : CrossEntropy.add(graph, logits, selection, options);
    }
    graph.finish();
  }

  /// Plans a model whose parameters are all trained.
  ///
  /// @param parameters as the golden files name them
  /// @param threads number of threads, at least 1; any number gives the same bits
  /// @throws IllegalArgumentException if a parameter is missing or does not fit, or if a mixer
  ///     cannot do what the model asks of it, by name
  public static Model plan(
      ModelKind kind,
      LayerOptions options,
      Parameters parameters,
      ModelShape shape,
      Purpose purpose,
      int threads) {
    return plan(kind, options, parameters, shape, purpose, _ -> true, threads);
  }

  /// Plans a model of which only some parameters are trained.
  ///
  /// @param trained which, by name
  public static Model plan(
      ModelKind kind,
      LayerOptions options,
      Parameters parameters,
      ModelShape shape,
      Purpose purpose,
      Predicate<String> trained,
      int threads) {
    return new Model(kind, options, parameters, shape, purpose, trained, null, null, threads);
  }

  /// Plans attention transfer (LoLCATs, Zhang et al. 2024, step 1): beside the mechanism of every
  /// block a student that reads the same inputs; [#loss] is factor · mean over blocks of the mean
  /// square of the difference of head outputs, and only `layers.I.student.*` is trained.
  ///
  /// @param student the mechanism to be fitted; tensors that are not below `student.` are the
  ///     mixer's
  /// @param purpose to train, or to evaluate
  public static Model planTransfer(
      LayerOptions options,
      Parameters parameters,
      ModelShape shape,
      String student,
      double factor,
      Purpose purpose,
      int threads) {
    return new Model(
        ModelKind.LANGUAGE_MODEL,
        options,
        parameters,
        shape,
        purpose,
        name -> name.contains(".student."),
        new Layers.Transfer(student, factor / options.layers()),
        null,
        threads);
  }

  /// Plans a language model that takes one token of every sequence at a time.
  static Model planStep(
      LayerOptions options, Parameters parameters, int batch, Decoding decoding, int threads) {
    return new Model(
        ModelKind.LANGUAGE_MODEL,
        options,
        parameters,
        ModelShape.of(batch, 1),
        Purpose.LOGITS,
        _ -> false,
        null,
        decoding,
        threads);
  }

  private void refuseLeaks() {
    if (kind == ModelKind.LANGUAGE_MODEL
        && options.norm() == NormKind.BATCH
        && options.training()) {
      throw new IllegalArgumentException(
          "norm must not be batch when a language model is trained: the statistics of a batch "
              + "tell earlier tokens of later ones");
    }
    if (kind == ModelKind.ENCODER_DECODER && shape.sourceLength() == 0) {
      throw new IllegalArgumentException("sourceLength must be >= 1, but was 0");
    }
  }

  /// The table of the tokens whose logits are computed.
  private String table() {
    return kind == ModelKind.ENCODER_DECODER && parameters.has("target_embedding.weight")
        ? "target_embedding.weight"
        : EMBEDDING;
  }

  private Value blocks() {
    return switch (kind) {
      case LANGUAGE_MODEL -> stack("", embed("", rows, tokens, table()), true);
      case AUTOENCODER ->
          layers.decodeLast("decoder.", stack("", embed("", rows, tokens, table()), true), padding);
      case CLASSIFIER -> stack("", embed("", rows, tokens, table()), false);
      case ENCODER_DECODER -> {
        Value memory = embed("encoder.", sourceRows, source, EMBEDDING);
        for (int i = 0; i < options.encoderLayers(); i++) {
          memory =
              layers.block(
                  "encoder.layers." + i + ".",
                  i,
                  memory,
                  false,
                  sourcePadding,
                  null,
                  sourcePadding);
        }
        if (parameters.has("encoder.final_norm.weight")) {
          memory = layers.norm("encoder.final_norm.", memory, sourcePadding);
        }
        Value x = embed("decoder.", rows, tokens, table());
        for (int i = 0; i < options.decoderLayers(); i++) {
          x = layers.block("decoder.layers." + i + ".", i, x, true, padding, memory, sourcePadding);
        }
        yield x;
      }
    };
  }

  private Value embed(String prefix, Rows of, int[] from, String table) {
    Value x = layers.embedding(prefix, of, from, table);
    return layers.dropout(
        prefix + "embedding.dropout", layers.positions(prefix, x, "positions.weight"));
  }

  private Value stack(String prefix, Value embedded, boolean causal) {
    Value x = embedded;
    for (int i = 0; i < options.layers(); i++) {
      x = layers.block(prefix + "layers." + i + ".", i, x, causal, padding, null, padding);
    }
    return x;
  }

  private Value finalNorm(Value x) {
    String prefix = kind == ModelKind.ENCODER_DECODER ? "decoder.final_norm." : "final_norm.";
    return parameters.has(prefix + "weight") ? layers.norm(prefix, x, padding) : x;
  }

  /// Takes a batch: checks tokens and labels, plans mechanisms again if the padding changed.
  private void take(Batch batch) {
    int vocabulary = parameters.get(table()).value().extent(0);
    copy("tokens", batch.tokens(), tokens, vocabulary);
    padding.set(batch.real());
    if (kind == ModelKind.ENCODER_DECODER) {
      int[] given = batch.source();
      if (given == null) {
        throw new IllegalArgumentException("source must be given, but was absent");
      }
      copy("source", given, source, parameters.get(EMBEDDING).value().extent(0));
      sourcePadding.set(batch.sourceReal());
    }
    int[] labels = batch.labels();
    if (selection != null) {
      if (labels == null) {
        throw new IllegalArgumentException("labels must be given, but were absent");
      }
      selection.set(labels, options.ignoreIndex(), classes);
    }
  }

  private static void copy(String name, int[] from, int[] to, int vocabulary) {
    if (from.length != to.length) {
      throw new IllegalArgumentException(
          name + " must be " + to.length + " numbers, but was " + from.length);
    }
    for (int i = 0; i < from.length; i++) {
      if (from[i] < 0 || from[i] >= vocabulary) {
        throw new IllegalArgumentException(
            name + " must be from 0 to " + (vocabulary - 1) + ", but was " + from[i]);
      }
      to[i] = from[i];
    }
  }

  /// The number of the step, from which dropout is drawn.
  public void setStep(long number) {
    step.set(number);
  }

  /// Computes the loss of a batch with the parameters as they are now.
  public double loss(Batch batch) {
    take(batch);
    graph.forward();
    if (entropy != null) {
      return entropy.loss();
    }
    if (transfers.isEmpty()) {
      throw new IllegalStateException("loss must be asked of a plan with a loss");
    }
    double sum = 0;
    for (int i = 0; i < transfers.size(); i++) {
      sum += transfers.get(i).loss();
    }
    return sum;
  }

  /// ‖student − mechanism‖ / ‖mechanism‖ of the head outputs of every block in the last loss of a
  /// transfer.
  public double[] transferErrors() {
    return transfers.stream().mapToDouble(MeanSquares::relativeError).toArray();
  }

  /// Adds the gradients of the last loss to those of the parameters.
  public void backward() {
    graph.backward();
  }

  /// Number of labelled rows of the last batch.
  public int labelled() {
    return selection == null ? 0 : selection.rows().active();
  }

  /// Number of labelled rows of the last batch whose largest logit is the label's.
  public int correct() {
    return entropy == null ? 0 : entropy.correct();
  }

  /// Whether the largest logit of a labelled row of the last batch is the label's.
  ///
  /// @param row counted over the labelled rows, in the order of the batch
  public boolean isCorrect(int row) {
    return entropy != null && entropy.isCorrect(row);
  }

  /// The loss of a labelled row of the last batch, in nats.
  ///
  /// @param row counted over the labelled rows, in the order of the batch
  /// @throws IllegalStateException if the plan has no labelled rows
  public double lossOf(int row) {
    if (entropy == null) {
      throw new IllegalStateException("loss must be asked of a plan with a loss");
    }
    return entropy.loss(row);
  }

  /// Computes logits, `[batch, length, classes]` or `[batch, classes]`; written anew by the next
  /// call.
  public Tensor logits(Batch batch) {
    Value values = logits;
    if (values == null || selection != null) {
      throw new IllegalStateException("logits must be asked of a plan for logits");
    }
    take(batch);
    graph.forward();
    return kind == ModelKind.CLASSIFIER
        ? Tensor.of(values.data(), shape.batch(), classes)
        : Tensor.of(values.data(), shape.batch(), shape.length(), classes);
  }

  /// Queries, keys, values and head outputs of every block that has a mechanism, copied.
  public List<HeadTensors> heads(Batch batch) {
    if (heads.isEmpty()) {
      throw new IllegalStateException("heads must be asked of a plan for heads");
    }
    take(batch);
    graph.forward();
    return heads.stream().map(HeadTensors::copyOf).toList();
  }

  /// Width of the logits.
  public int classes() {
    return classes;
  }

  /// Bytes of everything the plan allocated; parameters and their gradients not included.
  public long bytes() {
    return graph.bytes();
  }
}
