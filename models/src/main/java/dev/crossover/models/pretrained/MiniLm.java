// SPDX-License-Identifier: Apache-2.0
package dev.crossover.models.pretrained;

import dev.crossover.attention.tensor.Tensor;
import dev.crossover.attention.tensor.TensorFile;
import dev.crossover.attention.tensor.TensorFileException;
import dev.crossover.models.graph.Parameter;
import dev.crossover.models.graph.Parameters;
import dev.crossover.models.layer.LayerOptions;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Map;

/// all-MiniLM-L6-v2: a BERT encoder of six layers that gives one vector a text.
///
/// Wang et al., "MiniLM", NeurIPS 2020, arXiv:2002.10957; Reimers, Gurevych, "Sentence-BERT", EMNLP
/// 2019, arXiv:1908.10084; the weights sentence-transformers/all-MiniLM-L6-v2, Apache-2.0, are not
/// part of this project.
///
/// ```
/// x = LN(word[id_t] + type[0] + position[t])
/// a = concat_h softmax(q_h k_hᵀ/√d) v_h       q, k, v = x Wq + bq, x Wk + bk, x Wv + bv
/// y = LN(a Wo + bo + x)      x = LN(gelu(y W1 + b1) W2 + b2 + y)      six times
/// e = mean of x over real tokens,  embedding = e/|e|
/// ```
///
/// | paper | here | size |
/// |---|---|---|
/// | H, d | `heads`, width of a head | 12, 32 |
/// | D, F | `width`, `inner` | 384, 1536 |
/// | L | `layers` | as many as the weights have, 6 |
///
/// gelu is the exact one, LN adds 1e-12 to the variance. The attention between q, k, v and a can be
/// any mechanism: see [SentenceEncoder].
public final class MiniLm {
  private static final int HEADS = 12;
  private static final int WIDTH = 384;
  private static final String EPS = "1e-12";

  private final Parameters parameters;
  private final LayerOptions options;
  private final int positions;

  private MiniLm(Parameters parameters, int layers, int heads) {
    this.parameters = parameters;
    this.positions = parameters.get("positions.weight").value().extent(0);
    this.options =
        LayerOptions.of(
            Map.of(
                "layers",
                Integer.toString(layers),
                "heads",
                Integer.toString(heads),
                "positions",
                "learned",
                "norm_eps",
                EPS,
                "norm_position",
                "post",
                "feed_forward",
                "gelu"));
  }

  /// The weights of an ONNX export.
  ///
  /// @throws TensorFileException if a tensor is missing or misshapen, by name
  public static MiniLm read(Path path, OnnxFile file) throws TensorFileException {
    return new Reader(path, new OnnxState(file)).read(HEADS, WIDTH);
  }

  /// The weights of a PyTorch state dict, names as BERT's, with or without `bert.` before them.
  ///
  /// @throws TensorFileException if a tensor is missing or misshapen, by name
  public static MiniLm read(TensorFile file) throws TensorFileException {
    return new Reader(file.path(), new DictState(file)).read(HEADS, WIDTH);
  }

  /// A model of other sizes, for tests.
  static MiniLm read(TensorFile file, int heads, int width) throws TensorFileException {
    return new Reader(file.path(), new DictState(file)).read(heads, width);
  }

  /// A model of other sizes, for tests.
  static MiniLm read(Path path, OnnxFile file, int heads, int width) throws TensorFileException {
    return new Reader(path, new OnnxState(file)).read(heads, width);
  }

  /// Number of layers.
  public int layers() {
    return options.layers();
  }

  /// Number of heads.
  public int heads() {
    return options.heads();
  }

  /// Width of an embedding.
  public int width() {
    return parameters.get("embedding.weight").value().extent(1);
  }

  /// The largest number of tokens.
  public int positions() {
    return positions;
  }

  /// Number of weights.
  public long size() {
    return parameters.size();
  }

  LayerOptions options() {
    return options;
  }

  /// The weights, shared, with what a mechanism in the place of attention needs in every layer.
  Parameters parameters(AttentionCore core) {
    Parameters view = new Parameters();
    for (Parameter parameter : parameters.all()) {
      String name = parameter.name();
      String source = core.queriesFromKeys() ? name.replace("mixer.query_", "mixer.key_") : name;
      view.add(name, parameters.get(source).value());
    }
    for (int layer = 0; layer < layers(); layer++) {
      for (Map.Entry<String, Tensor> tensor : core.tensors().entrySet()) {
        view.add("layers." + layer + ".mixer." + tensor.getKey(), tensor.getValue());
      }
    }
    return view;
  }

  /// Where the tensors of a BERT come from, under its names.
  private interface State {
    boolean has(String name);

    Tensor tensor(String name) throws TensorFileException;

    /// The matrix `[out, in]` of a map.
    ///
    /// @param name without `.weight`
    Tensor map(String name) throws TensorFileException;
  }

  private record OnnxState(OnnxFile file) implements State {
    @Override
    public boolean has(String name) {
      return file.has(name);
    }

    @Override
    public Tensor tensor(String name) throws TensorFileException {
      return file.tensor(name);
    }

    @Override
    public Tensor map(String name) throws TensorFileException {
      return transposed(file.mapOf(name + ".bias"));
    }

    private static Tensor transposed(Tensor matrix) {
      if (matrix.shape().length != 2) {
        return matrix;
      }
      int in = matrix.extent(0);
      int out = matrix.extent(1);
      Tensor result = Tensor.zeros(out, in);
      for (int i = 0; i < in; i++) {
        for (int o = 0; o < out; o++) {
          result.data()[o * in + i] = matrix.data()[i * out + o];
        }
      }
      return result;
    }
  }

  private record DictState(TensorFile file) implements State {
    private String named(String name) {
      return file.contains("bert." + name) ? "bert." + name : name;
    }

    @Override
    public boolean has(String name) {
      return file.contains(named(name));
    }

    @Override
    public Tensor tensor(String name) throws TensorFileException {
      return file.tensor(named(name));
    }

    @Override
    public Tensor map(String name) throws TensorFileException {
      return tensor(name + ".weight");
    }
  }

  /// Puts a BERT's tensors under this project's names and checks their shapes.
  private static final class Reader {
    private final Path path;
    private final State state;
    private final Parameters parameters = new Parameters();

    Reader(Path path, State state) {
      this.path = path;
      this.state = state;
    }

    MiniLm read(int heads, int width) throws TensorFileException {
      Tensor words = state.tensor("embeddings.word_embeddings.weight");
      require("embeddings.word_embeddings.weight", words, words.extent(0), width);
      parameters.add("embedding.weight", words);
      addPositions(width);
      copy("embedding_norm.", "embeddings.LayerNorm.", width);
      int layers = 0;
      while (state.has("encoder.layer." + layers + ".attention.self.query.bias")) {
        layer(layers++, width);
      }
      if (layers == 0) {
        throw new TensorFileException(
            path, "must hold encoder.layer.0.attention.self.query.bias, but does not");
      }
      return new MiniLm(parameters, layers, heads);
    }

    /// The type of all tokens is 0: its row is part of every position.
    private void addPositions(int width) throws TensorFileException {
      String name = "embeddings.position_embeddings.weight";
      Tensor rows = state.tensor(name);
      require(name, rows, rows.extent(0), width);
      String typeName = "embeddings.token_type_embeddings.weight";
      Tensor types = state.tensor(typeName);
      require(typeName, types, types.extent(0), width);
      for (int i = 0; i < rows.size(); i++) {
        rows.data()[i] += types.data()[i % width];
      }
      parameters.add("positions.weight", rows);
    }

    private void layer(int number, int width) throws TensorFileException {
      String from = "encoder.layer." + number + ".";
      String to = "layers." + number + ".";
      for (String kind : new String[] {"query", "key", "value"}) {
        map(to + "mixer." + kind, from + "attention.self." + kind, width, width);
      }
      map(to + "mixer.output", from + "attention.output.dense", width, width);
      copy(to + "norm1.", from + "attention.output.LayerNorm.", width);
      int inner = state.tensor(from + "intermediate.dense.bias").size();
      map(to + "feed_forward.up", from + "intermediate.dense", inner, width);
      map(to + "feed_forward.down", from + "output.dense", width, inner);
      copy(to + "norm2.", from + "output.LayerNorm.", width);
    }

    private void map(String to, String from, int out, int in) throws TensorFileException {
      Tensor bias = state.tensor(from + ".bias");
      require(from + ".bias", bias, out);
      Tensor weight = state.map(from);
      require(from + ".weight", weight, out, in);
      parameters.add(to + "_weight", weight).add(to + "_bias", bias);
    }

    private void copy(String to, String from, int width) throws TensorFileException {
      for (String part : new String[] {"weight", "bias"}) {
        Tensor tensor = state.tensor(from + part);
        require(from + part, tensor, width);
        parameters.add(to + part, tensor);
      }
    }

    private void require(String name, Tensor tensor, int... shape) throws TensorFileException {
      if (!tensor.hasShape(shape)) {
        throw new TensorFileException(
            path,
            name
                + " must have shape "
                + Arrays.toString(shape)
                + ", but was "
                + Arrays.toString(tensor.shape()));
      }
    }
  }
}
