// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.input;

import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.Tensors;
import dev.crossover.attention.mechanism.Parameter;
import dev.crossover.attention.tensor.Tensor;
import dev.crossover.bench.result.NamedFiles;
import dev.crossover.models.layer.HeadTensors;
import dev.crossover.models.layer.LayerOptions;
import dev.crossover.models.layer.Mechanisms;
import dev.crossover.models.model.Batch;
import dev.crossover.models.model.Model;
import dev.crossover.models.model.ModelKind;
import dev.crossover.models.model.ModelShape;
import dev.crossover.models.model.Purpose;
import dev.crossover.models.pretrained.PretrainedModel;
import dev.crossover.models.task.Bytes;
import dev.crossover.models.training.TrainedModel;
import java.io.IOException;
import java.nio.file.Path;
import java.util.List;

/// Queries, keys and values that a layer of a trained language model makes of a text: what its
/// mechanism reads, after rotation by position; scores are q·k/√d.
///
/// The model reads the first n bytes of the text, causally, with its own attention in every layer
/// before; n bytes are one pass through those layers. Heads and widths are the model's.
///
/// @param layer number of the layer, from 0
/// @param text a file; empty: the part of the built-in text that training does not see
/// @param heads selected query heads, all when empty
/// @param weights `builtin`, or a file of `crossover train --keep`
@InputInfo(name = "model", title = "a layer of a trained language model reading a text")
public record ModelInput(
    @Parameter(value = "layer, from 0", defaultValue = "0") int layer,
    @Parameter(
            value = "a file; the part of the built-in text that training does not see when absent",
            defaultValue = "")
        String text,
    @Parameter(value = "selected query heads joined by /; all when absent", defaultValue = "")
        List<Integer> heads,
    @Parameter(
            value = "builtin, or a file of crossover train --keep",
            defaultValue = PretrainedModel.BUILT_IN)
        String weights)
    implements InputSource, InputRecord {

  /// Copies the heads.
  public ModelInput {
    heads = List.copyOf(heads);
    Generated.require(layer >= 0, "layer must be >= 0", layer);
    for (int head : heads) {
      Generated.require(head >= 0, "heads must be >= 0", head);
    }
  }

  @Override
  public InputSource source() {
    return this;
  }

  @Override
  public String label() {
    StringBuilder label = new StringBuilder("model:layer=").append(layer);
    if (!text.isEmpty()) {
      label.append(",text=").append(InputSource.escaped(text));
    }
    if (!heads.isEmpty()) {
      label.append(",heads=");
      label.append(String.join("/", heads.stream().map(String::valueOf).toList()));
    }
    if (!weights.equals(PretrainedModel.BUILT_IN)) {
      label.append(",weights=").append(InputSource.escaped(weights));
    }
    return label.toString();
  }

  private TrainedModel model() throws IOException {
    TrainedModel model = PretrainedModel.load(weights).requireBytes().model();
    require("layer", layer, model.layers().layers());
    String mixer = model.layers().mixer(layer);
    if (Mechanisms.isBaseline(mixer)) {
      throw new IllegalArgumentException(
          "input model layer must hold an attention mechanism, but was " + mixer);
    }
    for (int head : heads) {
      require("heads", head, model.layers().heads());
    }
    return model;
  }

  private static void require(String name, int value, int count) {
    if (value >= count) {
      throw new IllegalArgumentException(
          "input model "
              + name
              + " must be below the model's number ("
              + count
              + "), but was "
              + value);
    }
  }

  private byte[] bytes() throws IOException {
    return text.isEmpty()
        ? new Bytes(2, "", Bytes.Part.HELD_OUT).ofPart()
        : NamedFiles.bytes(Path.of(text));
  }

  @Override
  public int maxSeqLen() throws IOException {
    model();
    return bytes().length;
  }

  @Override
  public AttentionShape shapeFor(AttentionShape wish) throws IOException {
    int longest = Math.max(wish.querySeqLen(), wish.keySeqLen());
    int bytes = maxSeqLen();
    if (longest > bytes) {
      throw new IllegalArgumentException(
          "n must be at most the bytes of input "
              + label()
              + " ("
              + bytes
              + "), but was "
              + longest);
    }
    HeadTensors one = read(1);
    return new AttentionShape(
        1,
        heads.isEmpty() ? one.query().extent(1) : heads.size(),
        heads.isEmpty() ? one.key().extent(1) : heads.size(),
        wish.querySeqLen(),
        wish.keySeqLen(),
        one.query().extent(3),
        one.key().extent(3),
        one.value().extent(3));
  }

  @Override
  public Tensors load(AttentionShape shape, long seed) throws IOException {
    HeadTensors read = read(Math.max(shape.querySeqLen(), shape.keySeqLen()));
    return Tensors.qkv(
        chosen(read.query(), 1, shape.querySeqLen()),
        chosen(read.key(), group(read), shape.keySeqLen()),
        chosen(read.value(), group(read), shape.keySeqLen()));
  }

  private static int group(HeadTensors read) {
    return read.query().extent(1) / read.key().extent(1);
  }

  /// The first n rows of the chosen heads; selected query heads each keep a copy of the key head
  /// that they share.
  ///
  /// @param group query heads of each head of the tensor
  private Tensor chosen(Tensor all, int group, int n) {
    int count = heads.isEmpty() ? all.extent(1) : heads.size();
    int size = n * all.extent(3);
    Tensor some = Tensor.zeros(1, count, n, all.extent(3));
    for (int h = 0; h < count; h++) {
      int from = heads.isEmpty() ? h : heads.get(h) / group;
      System.arraycopy(
          all.data(), from * all.extent(2) * all.extent(3), some.data(), h * size, size);
    }
    return some;
  }

  /// What the layer makes of the first n bytes; layers behind it are left out.
  private HeadTensors read(int n) throws IOException {
    TrainedModel trained = model();
    LayerOptions options = trained.layers().with("layers", String.valueOf(layer + 1));
    Model model =
        Model.plan(
            ModelKind.LANGUAGE_MODEL,
            options,
            trained.parameters(),
            ModelShape.of(1, n),
            Purpose.HEADS,
            Runtime.getRuntime().availableProcessors());
    int[] tokens = Bytes.tokens(bytes(), 0, n);
    return model.heads(new Batch(tokens, null, null, null, null)).getLast();
  }
}
