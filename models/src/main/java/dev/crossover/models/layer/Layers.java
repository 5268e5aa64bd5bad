// SPDX-License-Identifier: Apache-2.0
package dev.crossover.models.layer;

import dev.crossover.attention.Attention;
import dev.crossover.models.graph.Graph;
import dev.crossover.models.graph.Parameter;
import dev.crossover.models.graph.Parameters;
import dev.crossover.models.graph.Rows;
import dev.crossover.models.graph.Value;
import dev.crossover.models.layer.Elementary.Function;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import org.jspecify.annotations.Nullable;

/// Puts operations together into layers and blocks, from options and from the parameters that are
/// there. Every method adds to one graph and returns what the layer gives.
public final class Layers {
  private final Graph graph;
  private final Parameters parameters;
  private final LayerOptions options;
  private final DropoutStep step;
  private final @Nullable Decoding decoding;
  private final List<MeanSquares> transfers = new ArrayList<>();
  private final List<HeadValues> kept = new ArrayList<>();
  private @Nullable Transfer transfer;
  private @Nullable Attention replacement;
  private boolean keepsHeads;

  /// Queries, keys and values of a layer and what its mechanism made of them, split into heads.
  ///
  /// @param key null where the mechanism shares queries and keys
  public record HeadValues(Value query, @Nullable Value key, Value value, Value out) {}

  /// What attention transfer adds to every block.
  ///
  /// @param student the mechanism to be fitted
  /// @param factor on the loss, the share of one block included
  public record Transfer(String student, double factor) {}

  /// @param graph where operations are added
  /// @param options of all layers
  /// @param step the number from which dropout is drawn
  public Layers(Graph graph, LayerOptions options, DropoutStep step) {
    this(graph, options, step, null);
  }

  /// Layers that take one token of every sequence at a time.
  ///
  /// @param decoding what they keep between tokens; null: whole sequences
  public Layers(Graph graph, LayerOptions options, DropoutStep step, @Nullable Decoding decoding) {
    this.decoding = decoding;
    this.graph = graph;
    this.parameters = graph.parameters();
    this.options = options;
    this.step = step;
  }

  /// Adds a student beside the mechanism of every block from now on.
  public void transfer(Transfer newTransfer) {
    transfer = newTransfer;
  }

  /// The losses of students, block by block.
  public List<MeanSquares> transfers() {
    return List.copyOf(transfers);
  }

  /// Puts a mechanism in the place of every block's own from now on; baselines that are none stay.
  public void replaceMechanisms(Attention mechanism) {
    replacement = mechanism;
  }

  /// Keeps queries, keys, values and head outputs of every block from now on.
  public void keepHeads() {
    keepsHeads = true;
  }

  /// What was kept, block by block.
  public List<HeadValues> keptHeads() {
    return List.copyOf(kept);
  }

  /// Rows of a table by token, scaled, with positions added; tokens are read when the graph runs.
  ///
  /// @param table name of the table
  /// @param prefix of the names of what is added
  public Value embedding(String prefix, Rows rows, int[] tokens, String table) {
    Value x =
        Embedding.add(
            graph,
            prefix + "embedding.out",
            rows,
            tokens,
            parameters.get(table),
            options.embeddingScale());
    return x;
  }

  /// Adds the positions that belong to the embedding, if any.
  ///
  /// @param table name of a trained table
  public Value positions(String prefix, Value x, String table) {
    return switch (options.positions()) {
      case SINUSOIDAL -> PositionTable.sinusoidal(graph, prefix + "positions.out", x, decoding);
      case LEARNED ->
          PositionTable.learned(
              graph, prefix + "positions.out", x, parameters.get(table), decoding);
      default -> x;
    };
  }

  /// The decoder of an auto-encoder: the last row of every sequence plus the sinusoid of each
  /// position, then twice norm, map and GELU; no position sees another.
  public Value decodeLast(String prefix, Value x, Padding padding) {
    Value spread = LastToAll.add(graph, prefix + "last", x);
    Value y = PositionTable.sinusoidal(graph, prefix + "positions.out", spread, null);
    for (int i = 1; i <= 2; i++) {
      Value normed = norm(prefix + "norm" + i + ".", y, padding);
      Value mapped = map(prefix + "map" + i, normed);
      y = Activation.add(graph, prefix + "gelu" + i, mapped, Function.GELU);
    }
    return y;
  }

  /// Dropout, where it is on.
  public Value dropout(String name, Value x) {
    return Dropout.add(graph, name, x, options, step);
  }

  /// Dropout with given draws.
  public Value dropout(String name, Value x, double rate, byte[] keep) {
    return Dropout.given(graph, name, x, rate, keep);
  }

  /// A map, with a bias if there is one.
  ///
  /// @param name `NAME_weight` and `NAME_bias` are its parameters
  public Value map(String name, Value x) {
    Parameter bias = parameters.find(name + "_bias");
    return Linear.add(graph, name, x, parameters.get(name + "_weight"), bias);
  }

  /// A map with named parameters.
  public Value map(String name, Value x, String weight, String bias) {
    return Linear.add(graph, name, x, parameters.get(weight), parameters.find(bias));
  }

  /// The norm of the options.
  ///
  /// @param prefix of `weight`, `bias`, `running_mean`, `running_variance`
  public Value norm(String prefix, Value x, Padding padding) {
    if (options.norm() == NormKind.BATCH) {
      return BatchNorm.add(graph, prefix, x, options, padding);
    }
    return Norm.add(
        graph,
        prefix + "out",
        x,
        parameters.get(prefix + "weight"),
        parameters.find(prefix + "bias"),
        options.norm() == NormKind.LAYER,
        options.normEps());
  }

  /// down(act(up(x))), or down(silu(gate(x)) · up(x)).
  public Value feedForward(String prefix, Value x) {
    FeedForwardKind kind = options.feedForward();
    Value up = map(prefix + "up", x);
    Value inner =
        kind == FeedForwardKind.SWIGLU
            ? Activation.product(
                graph,
                prefix + "inner",
                map(prefix + "gate", x),
                kind.function(),
                up,
                Function.NONE)
            : Activation.add(graph, prefix + "inner", up, kind.function());
    return map(prefix + "down", inner);
  }

  /// A causal convolution of a few taps per channel.
  ///
  /// @param silu whether silu follows
  public Value shortConvolution(String prefix, Value x, boolean silu) {
    Value y =
        ShortConvolution.add(
            graph,
            prefix + "conv",
            x,
            parameters.get(prefix + "weight"),
            parameters.find(prefix + "bias"),
            decoding);
    return silu ? Activation.add(graph, prefix + "activation", y, Function.SILU) : y;
  }

  /// Rows split into heads and turned by their positions.
  ///
  /// @param offset position of row 0
  public Value rotary(String name, Value x, int heads, int offset) {
    Rotary rotary =
        new Rotary(
            graph.layout(),
            x.rows().length(),
            x.width() / heads,
            options.positions() == Positions.ROPE_INTERLEAVED,
            options.ropeBase(),
            offset);
    return SplitHeads.add(graph, name, x, heads, false, rotary, decoding);
  }

  /// Multi-head attention around a mechanism.
  ///
  /// @param mechanism a mechanism's name and parameters
  /// @param context what keys and values are made of; null for self-attention
  /// @param padding of the keys
  public Value attention(
      String prefix,
      String mechanism,
      Value x,
      @Nullable Value context,
      boolean causal,
      Padding padding) {
    return multiHead(prefix, null, mechanism, x, context, causal, padding).add();
  }

  private MultiHead multiHead(
      String prefix,
      @Nullable String student,
      String mechanism,
      Value x,
      @Nullable Value context,
      boolean causal,
      Padding padding) {
    return new MultiHead(
        graph,
        options,
        replacement == null ? Mechanisms.parse(mechanism) : replacement,
        prefix,
        student,
        x,
        context,
        causal,
        padding,
        decoding);
  }

  /// An LSTM with initial states, which may be none.
  public Lstm lstm(String prefix, Value x, List<Value> initial) {
    return Lstm.add(graph, prefix, x, initial);
  }

  /// A GRU with an initial state, which may be none.
  public Gru gru(String prefix, Value x, List<Value> initial) {
    return Gru.add(graph, prefix, x, initial);
  }

  /// output(tanh(a) σ(g)) with [a, g] a dilated causal convolution of x.
  public Value gatedConvolution(String prefix, Value x, int dilation) {
    Parameter weight = parameters.get(prefix + "conv_weight");
    int taps = weight.value().extent(2);
    Value unfolded = Unfold.add(graph, prefix + "unfolded", x, taps, dilation, decoding);
    Parameter bias = parameters.find(prefix + "conv_bias");
    int half = weight.value().extent(0) / 2;
    Value a = Linear.add(graph, prefix + "conv_a", unfolded, weight, bias, 0, half);
    Value g = Linear.add(graph, prefix + "conv_g", unfolded, weight, bias, half, half);
    Value gated =
        Activation.product(graph, prefix + "gated", a, Function.TANH, g, Function.SIGMOID);
    return map(prefix + "output", gated);
  }

  /// output(y σ(gate(x))) with y the convolution of input(x) with a filter as long as the sequence.
  public Value longConvolution(String prefix, Value x) {
    Value u = map(prefix + "input", x);
    Value y =
        LongConvolution.add(
            graph,
            prefix + "long",
            u,
            parameters.get(prefix + "filter"),
            parameters.find(prefix + "skip"),
            decoding);
    Value gate = map(prefix + "gate", x);
    Value gated =
        Activation.product(graph, prefix + "gated", gate, Function.SIGMOID, y, Function.NONE);
    return map(prefix + "output", gated);
  }

  /// One row per sequence.
  public Value pool(Value x, Rows sequences, Padding padding) {
    return Pooling.add(graph, "pooled", x, sequences, options.pooling(), padding);
  }

  /// The labelled rows.
  public Value gather(Value x, Selection selection) {
    return Gather.add(graph, "labelled", x, selection);
  }

  /// What mixes positions in a block: attention, a recurrence, or a convolution.
  public Value mixer(String prefix, int block, Value x, boolean causal, Padding padding) {
    String mixer = options.mixer(block);
    String kind = Mechanisms.name(mixer).toLowerCase(Locale.ROOT);
    if (Mechanisms.isBaseline(kind)) {
      requireWidth(mixer, kind, prefix);
    }
    return switch (kind) {
      case "lstm" -> {
        List<Value> initial = carried(prefix, x, 2);
        yield carry(lstm(prefix, x, initial), initial).output();
      }
      case "gru" -> {
        List<Value> initial = carried(prefix, x, 1);
        yield carry(gru(prefix, x, initial), initial).output();
      }
      case "gated_convolution" -> gatedConvolution(prefix, x, options.dilation(block));
      case "long_convolution" -> longConvolution(prefix, x);
      default -> {
        MultiHead layer = multiHead(prefix, null, mixer, x, null, causal, padding);
        MultiHead.Heads heads = layer.heads();
        Value out = layer.core(heads);
        addStudent(prefix, x, out, causal, padding, block);
        keep(mixer, heads, out);
        yield layer.finish(out);
      }
    };
  }

  private void keep(String mixer, MultiHead.Heads heads, Value out) {
    if (keepsHeads) {
      if (heads.query().heads()
          != heads.value().heads() * options.heads() / options.keyValueHeads()) {
        throw new IllegalArgumentException(
            "mixer must have queries, keys and values in the same heads to show them, but was "
                + mixer);
      }
      Value key = heads.key() == null ? null : heads.key().pin();
      kept.add(new HeadValues(heads.query().pin(), key, heads.value().pin(), out.pin()));
    }
  }

  /// Places for the states that a recurrence carries from token to token; none for whole sequences.
  private List<Value> carried(String prefix, Value x, int count) {
    List<Value> states = new ArrayList<>();
    for (int i = 0; i < count && decoding != null; i++) {
      int hidden = parameters.get(prefix + "hidden_weight").value().extent(1);
      states.add(graph.input(prefix + "state." + i, x.rows(), 0, hidden, false));
    }
    return states;
  }

  private Recurrence carry(Recurrence recurrence, List<Value> states) {
    if (decoding != null) {
      recurrence.output().pin();
      decoding.keep(new Carried(recurrence, states));
    }
    return recurrence;
  }

  /// A baseline takes no parameter but the width of a gated convolution, which must be that of its
  /// weight.
  private void requireWidth(String mixer, String kind, String prefix) {
    if (mixer.equals(kind)) {
      return;
    }
    String expected =
        kind.equals("gated_convolution")
            ? kind + ":width=" + parameters.get(prefix + "conv_weight").value().extent(2)
            : kind;
    if (!mixer.equals(expected)) {
      throw new IllegalArgumentException("mixer must be " + expected + ", but was " + mixer);
    }
  }

  private void addStudent(
      String prefix, Value x, Value out, boolean causal, Padding padding, int block) {
    Transfer given = transfer;
    if (given == null) {
      return;
    }
    String own = prefix.substring(0, prefix.length() - "mixer.".length()) + "student.";
    MultiHead layer = multiHead(prefix, own, given.student(), x, null, causal, padding);
    Value mimicked = layer.core(layer.heads());
    transfers.add(MeanSquares.add(graph, "transfer." + block, mimicked, out, given.factor()));
  }

  /// A block: mixer, cross-attention where there is a memory, feed-forward; each with a norm and a
  /// residual connection.
  ///
  /// @param prefix of the names of the block's parameters
  /// @param block its number
  /// @param memory what a decoder block attends to, or null
  /// @param memoryPadding padding of the memory
  public Value block(
      String prefix,
      int block,
      Value x,
      boolean causal,
      Padding padding,
      @Nullable Value memory,
      Padding memoryPadding) {
    boolean pre = options.preNorm();
    String mixer = prefix + "mixer.";
    Value before = pre ? norm(prefix + "norm1.", x, padding) : x;
    Value y = residual(prefix + "mixer", x, mixer(mixer, block, before, causal, padding));
    y = pre ? y : norm(prefix + "norm1.", y, padding);
    if (memory != null) {
      before = pre ? norm(prefix + "norm_cross.", y, padding) : y;
      Value crossed =
          attention(prefix + "cross.", options.cross(), before, memory, false, memoryPadding);
      y = residual(prefix + "cross", y, crossed);
      y = pre ? y : norm(prefix + "norm_cross.", y, padding);
    }
    if (options.feedForward() != FeedForwardKind.NONE) {
      before = pre ? norm(prefix + "norm2.", y, padding) : y;
      y = residual(prefix + "feed_forward", y, feedForward(prefix + "feed_forward.", before));
      y = pre ? y : norm(prefix + "norm2.", y, padding);
    }
    return y;
  }

  private Value residual(String name, Value x, Value f) {
    return Sum.add(graph, name + ".sum", x, dropout(name + ".dropout", f));
  }
}
