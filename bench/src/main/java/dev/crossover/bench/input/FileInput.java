// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.input;

import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.Tensors;
import dev.crossover.attention.mechanism.Parameter;
import dev.crossover.attention.tensor.Tensor;
import dev.crossover.attention.tensor.TensorFile;
import dev.crossover.attention.tensor.TensorFiles;
import dev.crossover.bench.result.NamedFiles;
import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;

/// Queries, keys and values read from a tensor file: the built-in captured ones, or a user's.
///
/// Tensors are `[seqLen, dim]`, `[heads, seqLen, dim]`, `[batch, heads, seqLen, dim]` or `[layers,
/// batch, heads, seqLen, dim]`, or with heads after positions where the layout `nhd` is named; of
/// several batch entries the first is taken, of several layers the chosen one. Heads and widths are
/// those of the file; a sequence of n is its first n positions.
public final class FileInput implements InputSource {
  private static final int MOST_REPEATS = 128;
  private static final String RESOURCE = "captured.safetensors";
  private static final String HEADS_FIRST = "hnd";
  private static final String POSITIONS_FIRST = "nhd";

  private final @Nullable Path path;
  private final String queryName;
  private final String keyName;
  private final String valueName;
  private final int layer;
  private final String heads;
  private final String layout;
  private final int repeat;
  private @Nullable Blocks loaded;

  /// The selected heads of the whole file, each `[seqLen, dim]`.
  private record Blocks(List<float[]> q, List<float[]> k, List<float[]> v, AttentionShape shape) {}

  /// One tensor of the file reduced to the heads of one layer and the first batch entry.
  private record Part(
      Tensor tensor, int firstElement, int heads, int seqLen, int dim, boolean positionsFirst) {

    /// Where a position of a head begins.
    int at(int head, int position) {
      int row = positionsFirst ? position * heads + head : head * seqLen + position;
      return firstElement + row * dim;
    }
  }

  private FileInput(
      @Nullable Path path,
      String queryName,
      String keyName,
      String valueName,
      int layer,
      String heads,
      String layout,
      int repeat) {
    this.path = path;
    this.queryName = queryName;
    this.keyName = keyName;
    this.valueName = valueName;
    this.layer = layer;
    this.heads = heads;
    this.layout = layout;
    this.repeat = repeat;
    selected(heads);
    requireLayout(layout);
  }

  /// Two heads of a trained causal model, 8192 positions of width 64.
  ///
  /// @param heads selected heads joined by `/`, all when empty
  /// @param repeat how often the positions follow each other, at least 1: a text that comes again,
  ///     for times and orders at lengths that no capture has; every key has its twins then
  @InputInfo(name = "captured", title = "two heads of a trained model")
  public record Captured(
      @Parameter(value = "selected heads joined by /; all when absent", defaultValue = "")
          String heads,
      @Parameter(value = "how often the text comes again, from 1", defaultValue = "1") int repeat)
      implements InputRecord {

    /// Validates the number of repeats.
    public Captured {
      if (repeat < 1 || repeat > MOST_REPEATS) {
        throw new IllegalArgumentException(
            "repeat must be from 1 to " + MOST_REPEATS + ", but was " + repeat);
      }
    }

    @Override
    public InputSource source() {
      return new FileInput(null, "q", "k", "v", 0, heads, HEADS_FIRST, repeat);
    }
  }

  /// A user's file.
  ///
  /// @param path the file
  /// @param q name of the queries, in which `{layer}` stands for the layer's number
  /// @param k name of the keys
  /// @param v name of the values
  /// @param layer number of the layer, from 0
  /// @param heads selected heads joined by `/`, all when empty
  /// @param layout `hnd` or `nhd`
  @InputInfo(name = "file", title = "a user's tensors")
  public record OfUser(
      @Parameter(value = ".safetensors, .npz or .npy; must be given", defaultValue = "")
          String path,
      @Parameter(value = "name of the queries; {layer} stands for the layer", defaultValue = "q")
          String q,
      @Parameter(value = "name of the keys", defaultValue = "k") String k,
      @Parameter(value = "name of the values", defaultValue = "v") String v,
      @Parameter(value = "layer, from 0", defaultValue = "0") int layer,
      @Parameter(value = "selected query heads joined by /; all when absent", defaultValue = "")
          String heads,
      @Parameter(
              value = "hnd where heads come before positions, nhd where they come after",
              defaultValue = HEADS_FIRST)
          String layout)
      implements InputRecord {
    @Override
    public InputSource source() {
      if (path.isEmpty()) {
        throw new IllegalArgumentException("input file: path must be given, but was absent");
      }
      return new FileInput(Path.of(path), q, k, v, layer, heads, layout, 1);
    }
  }

  /// The label of a user's file whose heads come before positions.
  ///
  /// @param path the file
  /// @param names names of queries, keys and values
  /// @param layer number of the layer, from 0
  /// @param heads selected query heads, all when empty
  public static String label(Path path, List<String> names, int layer, List<Integer> heads) {
    return label(path, names, layer, heads, HEADS_FIRST);
  }

  /// The label of a user's file.
  ///
  /// @param path `.safetensors` or `.npz`; a `.npy` file holds one array only
  /// @param names names of queries, keys and values in the file, in which `{layer}` stands for the
  ///     layer
  /// @param layer number of the layer, from 0
  /// @param heads selected query heads, all when empty
  /// @param layout `hnd` where heads come before positions, `nhd` where they come after
  /// @throws IllegalArgumentException if the layout is neither
  public static String label(
      Path path, List<String> names, int layer, List<Integer> heads, String layout) {
    requireLayout(layout);
    StringBuilder label = new StringBuilder("file:path=");
    label.append(InputSource.escaped(path.toString()));
    List<String> keys = List.of("q", "k", "v");
    for (int i = 0; i < 3; i++) {
      if (!names.get(i).equals(keys.get(i))) {
        label.append(',').append(keys.get(i)).append('=');
        label.append(InputSource.escaped(names.get(i)));
      }
    }
    if (layer != 0) {
      label.append(",layer=").append(layer);
    }
    if (!heads.isEmpty()) {
      label.append(",heads=");
      label.append(String.join("/", heads.stream().map(String::valueOf).toList()));
    }
    if (!layout.equals(HEADS_FIRST)) {
      label.append(",layout=").append(layout);
    }
    return label.toString();
  }

  @Override
  public String label() {
    if (path == null) {
      List<String> parts = new ArrayList<>();
      if (!heads.isEmpty()) {
        parts.add("heads=" + heads);
      }
      if (repeat > 1) {
        parts.add("repeat=" + repeat);
      }
      return parts.isEmpty() ? CAPTURED : CAPTURED + ":" + String.join(",", parts);
    }
    return label(path, List.of(queryName, keyName, valueName), layer, selected(heads), layout);
  }

  @Override
  public AttentionShape shapeFor(AttentionShape wish) throws IOException {
    AttentionShape whole = blocks().shape;
    if (Math.max(wish.querySeqLen(), wish.keySeqLen()) > maxSeqLen()) {
      throw new IllegalArgumentException(
          "n must be at most the positions of input "
              + label()
              + " ("
              + maxSeqLen()
              + "), but was "
              + Math.max(wish.querySeqLen(), wish.keySeqLen())
              + (doubt().isEmpty() ? "" : "; " + doubt()));
    }
    return whole.withSeqLens(wish.querySeqLen(), wish.keySeqLen());
  }

  /// A file with more heads than positions seems to have its heads after its positions.
  @Override
  public String doubt() throws IOException {
    AttentionShape whole = blocks().shape;
    return whole.numHeads() > whole.querySeqLen() && layout.equals(HEADS_FIRST)
        ? "the file was read as "
            + whole.numHeads()
            + " heads of "
            + whole.querySeqLen()
            + " positions; if its arrays are [positions, heads, width], --qkv-layout nhd reads them"
            + " so"
        : "";
  }

  @Override
  public Tensors load(AttentionShape s, long seed) throws IOException {
    Blocks all = blocks();
    return Tensors.qkv(
        first(all.q, s.querySeqLen(), s.headDim()),
        first(all.k, s.keySeqLen(), s.keyDim()),
        first(all.v, s.keySeqLen(), s.valueDim()));
  }

  @Override
  public int maxSeqLen() throws IOException {
    return repeat * Math.min(blocks().shape.querySeqLen(), blocks().shape.keySeqLen());
  }

  private static Tensor first(List<float[]> heads, int seqLen, int dim) {
    Tensor tensor = Tensor.zeros(1, heads.size(), seqLen, dim);
    for (int h = 0; h < heads.size(); h++) {
      float[] head = heads.get(h);
      int length = seqLen * dim;
      for (int from = 0; from < length; from += head.length) {
        int count = Math.min(head.length, length - from);
        System.arraycopy(head, 0, tensor.data(), h * length + from, count);
      }
    }
    return tensor;
  }

  private synchronized Blocks blocks() throws IOException {
    Blocks known = loaded;
    if (known == null) {
      known = path == null ? readResource() : read(path, path.toString());
      loaded = known;
    }
    return known;
  }

  private Blocks readResource() throws IOException {
    Path copy =
        Files.createTempFile(NamedFiles.temporaryFolder(), "crossover-captured", ".safetensors");
    try (InputStream in = FileInput.class.getResourceAsStream(RESOURCE)) {
      if (in == null) {
        throw new IOException("the built-in input " + RESOURCE + " is missing from this build");
      }
      Files.copy(in, copy, StandardCopyOption.REPLACE_EXISTING);
      return read(copy, label());
    } finally {
      Files.deleteIfExists(copy);
    }
  }

  private Blocks read(Path file, String from) throws IOException {
    TensorFile tensors = TensorFiles.open(file);
    Part q = part(tensors, from, queryName);
    Part k = part(tensors, from, keyName);
    Part v = part(tensors, from, valueName);
    require(from, q.dim == k.dim, "q and k must have one width", q.dim + " and " + k.dim);
    require(
        from, k.heads == v.heads, "k and v must have one head count", k.heads + " and " + v.heads);
    require(
        from, q.seqLen == k.seqLen, "q and k must have one length", q.seqLen + " and " + k.seqLen);
    require(
        from, k.seqLen == v.seqLen, "k and v must have one length", k.seqLen + " and " + v.seqLen);
    require(
        from,
        k.heads > 0 && q.heads % k.heads == 0,
        "heads of k must divide those of q (" + q.heads + ")",
        String.valueOf(k.heads));
    List<Integer> chosen = selected(heads);
    boolean all = chosen.isEmpty();
    List<float[]> queries = new ArrayList<>();
    List<float[]> keys = new ArrayList<>();
    List<float[]> values = new ArrayList<>();
    for (int h = 0; h < (all ? q.heads : chosen.size()); h++) {
      int head = all ? h : chosen.get(h);
      require(from, head < q.heads, "heads must be below " + q.heads, String.valueOf(head));
      queries.add(block(q, head, from, queryName));
      // selected query heads each keep a copy of the key head they share, so that any choice is
      // regular
      if (!all || h < k.heads) {
        int group = all ? 1 : q.heads / k.heads;
        keys.add(block(k, head / group, from, keyName));
        values.add(block(v, head / group, from, valueName));
      }
    }
    return new Blocks(
        queries,
        keys,
        values,
        new AttentionShape(
            1, queries.size(), keys.size(), q.seqLen, k.seqLen, q.dim, k.dim, v.dim));
  }

  private Part part(TensorFile file, String from, String pattern) throws IOException {
    String name = pattern.replace("{layer}", Integer.toString(layer));
    require(
        from,
        !file.contains(name) || !file.dtype(name).isIntegral(),
        name + " must hold floating-point numbers",
        file.contains(name) ? file.dtype(name).name() : "");
    Tensor tensor = file.tensor(name);
    int rank = tensor.rank();
    require(from, rank >= 2 && rank <= 5, name + " must have 2 to 5 dimensions", tensor.toString());
    require(from, tensor.size() > 0, name + " must not be empty", tensor.toString());
    boolean positionsFirst = rank >= 3 && layout.equals(POSITIONS_FIRST);
    int seqLen = tensor.extent(positionsFirst ? rank - 3 : rank - 2);
    int dim = tensor.extent(rank - 1);
    int heads = rank >= 3 ? tensor.extent(positionsFirst ? rank - 2 : rank - 3) : 1;
    int skip = 0;
    if (rank == 5) {
      require(
          from,
          layer >= 0 && layer < tensor.extent(0),
          "layer must be below " + tensor.extent(0),
          Integer.toString(layer));
      skip = layer * (tensor.size() / tensor.extent(0));
    }
    return new Part(tensor, skip, heads, seqLen, dim, positionsFirst);
  }

  private static float[] block(Part part, int head, String from, String name) throws IOException {
    int size = part.seqLen * part.dim;
    float[] block = new float[size];
    for (int position = 0; position < part.seqLen; position++) {
      System.arraycopy(
          part.tensor.data(), part.at(head, position), block, position * part.dim, part.dim);
    }
    for (int i = 0; i < size; i++) {
      if (!Float.isFinite(block[i])) {
        String place = " at head " + head + ", position " + i / part.dim;
        require(from, false, name + " must be finite numbers", block[i] + place);
      }
    }
    return block;
  }

  private static void requireLayout(String layout) {
    if (!layout.equals(HEADS_FIRST) && !layout.equals(POSITIONS_FIRST)) {
      throw new IllegalArgumentException(
          "qkv-layout must be hnd (heads, positions, width) or nhd, but was '" + layout + "'");
    }
  }

  /// Numbers of heads joined by `/`; none when empty.
  private static List<Integer> selected(String heads) {
    List<Integer> selected = new ArrayList<>();
    if (!heads.isEmpty()) {
      for (String head : heads.split("/", -1)) {
        selected.add(integer("heads", head));
      }
    }
    return selected;
  }

  /// A whole number of a label.
  private static int integer(String name, String text) {
    try {
      int value = Integer.parseInt(text);
      if (value >= 0) {
        return value;
      }
    } catch (NumberFormatException e) {
      // answered below, like a negative number
    }
    throw new IllegalArgumentException(
        "input " + name + " must be a number from 0, but was '" + text + "'");
  }

  private static void require(String file, boolean holds, String rule, String value)
      throws IOException {
    if (!holds) {
      throw new IOException(file + ": " + rule + ", but was " + value);
    }
  }
}
