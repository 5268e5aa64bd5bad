// SPDX-License-Identifier: Apache-2.0
package dev.crossover.models.conformance;

import dev.crossover.attention.tensor.Tensor;
import dev.crossover.attention.tensor.TensorFileException;
import dev.crossover.models.graph.Graph;
import dev.crossover.models.graph.Parameters;
import dev.crossover.models.graph.Rows;
import dev.crossover.models.graph.Value;
import dev.crossover.models.layer.CrossEntropy;
import dev.crossover.models.layer.DropoutStep;
import dev.crossover.models.layer.LayerOptions;
import dev.crossover.models.layer.Layers;
import dev.crossover.models.layer.Lstm;
import dev.crossover.models.layer.NormKind;
import dev.crossover.models.layer.Padding;
import dev.crossover.models.layer.Selection;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;

/// Replays `layer__` files: one layer, its output, and the gradients of Σ out · grad_out with
/// respect to inputs and parameters.
final class LayerReplay {
  private static final String PREFIX = "layer.";

  private final ModelFile file;
  private final Parameters parameters;
  private final LayerOptions options;
  private final Graph graph;
  private final Layers layers;
  private final String kind;

  private LayerReplay(ModelFile file, int threads) throws TensorFileException {
    this.file = file;
    this.parameters = file.parameters();
    this.options = file.options();
    this.kind = file.key("layer", "");
    this.graph = new Graph(parameters, true, _ -> true, threads);
    this.layers = new Layers(graph, options, new DropoutStep());
  }

  static String run(ModelFile file, int threads) throws TensorFileException {
    LayerReplay replay = new LayerReplay(file, threads);
    switch (replay.kind) {
      case "embedding" -> replay.embedding();
      case "rotary" -> replay.rotary();
      case "cross_entropy" -> replay.crossEntropy();
      case "lstm", "gru" -> replay.recurrence();
      default -> replay.plain();
    }
    return "layer " + replay.kind;
  }

  private Rows rows(String name) throws TensorFileException {
    int[] shape = file.shape(name);
    return new Rows(shape[0], shape[1]);
  }

  private Value input(String name, Rows rows) throws TensorFileException {
    int[] shape = file.shape(name);
    Value x = graph.input(name, rows, 0, shape[shape.length - 1], true);
    inputs.add(x);
    return x;
  }

  private final List<Value> inputs = new ArrayList<>();

  /// Runs the layer both ways and compares.
  private void run(Value out, float[] gradOut) throws TensorFileException {
    out.pin();
    graph.finish();
    for (Value input : inputs) {
      float[] given = file.tensor(input.name()).data();
      System.arraycopy(given, 0, input.data(), 0, given.length);
    }
    graph.forward();
    file.compare("out", out.data());
    System.arraycopy(gradOut, 0, out.gradient(), 0, gradOut.length);
    graph.backward();
    for (Value input : inputs) {
      file.compare("grad_" + input.name(), input.gradient());
    }
    file.compareGradients(parameters);
    file.compareAfter(parameters);
  }

  private Padding padding(String name, Rows rows) throws TensorFileException {
    Padding padding = new Padding(rows.sequences(), rows.length());
    padding.set(file.mask(name));
    return padding;
  }

  private void embedding() throws TensorFileException {
    Rows rows = rows("tokens");
    int[] tokens = file.ints("tokens");
    Value x = layers.embedding(PREFIX, rows, tokens, PREFIX + "weight");
    run(layers.positions(PREFIX, x, PREFIX + "positions"), gradOut());
  }

  private float[] gradOut() throws TensorFileException {
    return file.tensor("grad_out").data();
  }

  /// Layers of one input `x`, with whatever else they take.
  private void plain() throws TensorFileException {
    Rows rows = rows("x");
    Value x = input("x", rows);
    Value out =
        switch (kind) {
          case "positions" -> layers.positions(PREFIX, x, PREFIX + "weight");
          case "norm" -> norm(x, rows);
          case "feed_forward" -> layers.feedForward(PREFIX, x);
          case "short_convolution" -> layers.shortConvolution(PREFIX, x, silu());
          case "attention" -> attention(x, rows);
          case "block" -> block(x, rows);
          case "gated_convolution" -> layers.gatedConvolution(PREFIX, x, options.dilation(0));
          case "long_convolution" -> layers.longConvolution(PREFIX, x);
          case "pooling" -> {
            Value pooled = layers.pool(x, new Rows(rows.sequences(), 1), padding("key_mask", rows));
            yield layers.map(PREFIX + "head", pooled);
          }
          case "dropout" -> dropout(x);
          default -> throw new IllegalArgumentException("layer must be known, but was " + kind);
        };
    run(out, gradOut());
  }

  private Value norm(Value x, Rows rows) throws TensorFileException {
    if (options.norm() != NormKind.BATCH && file.has("key_mask")) {
      file.mask("key_mask");
    }
    return layers.norm(PREFIX, x, padding("key_mask", rows));
  }

  private boolean silu() {
    String activation = file.key("activation", "none");
    if (!activation.equals("none") && !activation.equals("silu")) {
      throw new IllegalArgumentException("activation must be none or silu, but was " + activation);
    }
    return activation.equals("silu");
  }

  private Value attention(Value x, Rows rows) throws TensorFileException {
    Value context = null;
    Rows keys = rows;
    if (file.has("context")) {
      keys = rows("context");
      context = input("context", keys);
    }
    return layers.attention(
        PREFIX, options.mixer(0), x, context, options.causal(), padding("key_mask", keys));
  }

  private Value block(Value x, Rows rows) throws TensorFileException {
    Padding padding = padding("key_mask", rows);
    @Nullable Value memory = null;
    Padding memoryPadding = padding;
    if (file.has("memory")) {
      Rows of = rows("memory");
      memory = input("memory", of);
      memoryPadding = padding("memory_mask", of);
    }
    return layers.block(PREFIX, 0, x, options.causal(), padding, memory, memoryPadding);
  }

  private Value dropout(Value x) throws TensorFileException {
    int[] drawn = file.ints("keep");
    byte[] keep = new byte[drawn.length];
    for (int i = 0; i < keep.length; i++) {
      keep[i] = (byte) drawn[i];
    }
    return layers.dropout("dropout", x, file.number("rate", 0), keep);
  }

  /// Heads `[B, H, n, d]` turned by their positions: the layer takes rows, so heads are moved.
  private void rotary() throws TensorFileException {
    int[] shape = file.shape("x");
    int heads = shape[1];
    int dim = shape[3];
    Rows rows = new Rows(shape[0], shape[2]);
    Value x = graph.input("x", rows, 0, heads * dim, true);
    Value out = layers.rotary("out", x, heads, (int) file.number("offset", 0)).pin();
    graph.finish();
    move(file.tensor("x").data(), x.data(), out, dim, true);
    graph.forward();
    file.compare("out", out.data());
    System.arraycopy(gradOut(), 0, out.gradient(), 0, out.gradient().length);
    graph.backward();
    float[] gradient = new float[x.size()];
    move(gradient, x.gradient(), out, dim, false);
    file.compare("grad_x", gradient);
  }

  private static void move(float[] split, float[] rows, Value heads, int dim, boolean toRows) {
    for (int r = 0; r < heads.rows().capacity(); r++) {
      for (int h = 0; h < heads.heads(); h++) {
        int at = heads.at(r, h);
        int row = (r * heads.heads() + h) * dim;
        System.arraycopy(
            toRows ? split : rows,
            toRows ? at : row,
            toRows ? rows : split,
            toRows ? row : at,
            dim);
      }
    }
  }

  private void recurrence() throws TensorFileException {
    Rows rows = rows("x");
    Value x = input("x", rows);
    List<Value> initial = new ArrayList<>();
    Rows sequences = new Rows(rows.sequences(), 1);
    if (file.has("hidden")) {
      initial.add(input("hidden", sequences));
    }
    if (file.has("cell")) {
      initial.add(input("cell", sequences));
    }
    Lstm lstm = kind.equals("lstm") ? layers.lstm(PREFIX, x, initial) : null;
    Value out = lstm == null ? layers.gru(PREFIX, x, initial).output() : lstm.output();
    run(out, gradOut());
    int width = out.width();
    float[] hidden = new float[rows.sequences() * width];
    float[] cell = new float[hidden.length];
    for (int b = 0; b < rows.sequences(); b++) {
      int last = ((b + 1) * rows.length() - 1) * width;
      System.arraycopy(out.data(), last, hidden, b * width, width);
      for (int c = 0; lstm != null && c < width; c++) {
        cell[b * width + c] = lstm.cell(b, c);
      }
    }
    file.compare("final_hidden", hidden);
    if (lstm != null) {
      file.compare("final_cell", cell);
    }
  }

  private void crossEntropy() throws TensorFileException {
    Tensor logits = file.tensor("logits");
    int classes = logits.extent(logits.rank() - 1);
    int count = logits.size() / classes;
    Rows rows = new Rows(count, 1);
    Value z = graph.input("logits", rows, 0, classes, true);
    Selection selection = new Selection(graph.layout(), count, count);
    selection.set(file.ints("labels"), options.ignoreIndex(), classes);
    CrossEntropy entropy = CrossEntropy.add(graph, layers.gather(z, selection), selection, options);
    graph.finish();
    System.arraycopy(logits.data(), 0, z.data(), 0, logits.size());
    graph.forward();
    file.compare("out", entropy.loss());
    graph.backward();
    float upstream = gradOut()[0];
    float[] gradient = z.gradient().clone();
    for (int i = 0; i < gradient.length; i++) {
      gradient[i] *= upstream;
    }
    file.compare("grad_logits", gradient);
  }
}
