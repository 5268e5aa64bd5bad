// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.swap;

import dev.crossover.attention.conformance.Comparison;
import dev.crossover.attention.conformance.GoldenReplay;
import dev.crossover.attention.conformance.ReplayResult;
import dev.crossover.attention.conformance.ReplayResult.Status;
import dev.crossover.attention.tensor.SafeTensors;
import dev.crossover.attention.tensor.Tensor;
import dev.crossover.attention.tensor.TensorFileException;
import dev.crossover.models.pretrained.AttentionCore;
import dev.crossover.models.pretrained.SentenceEncoder;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/// Replays golden files `minilm__CASE.safetensors`: token numbers of a text, embeddings, hidden
/// states, and the table of swapped mechanisms.
///
/// Needs the weights, see [MiniLmFiles]; without them files are refused, saying what gives them.
///
/// Tolerances: float32 arithmetic leaves about 2e-7 in an embedding of length 1 and 1e-5 in a
/// hidden state, whose entries reach 10; 1e-6 and 3e-5 are allowed, 1e-5 beside another float32
/// program.
public final class MiniLmReplay implements GoldenReplay {
  private static final String NAME = "minilm";
  private static final int THREADS = 2;
  private static final double EMBEDDING = 1e-6;
  private static final double OTHER_FLOAT32 = 1e-5;
  private static final double HIDDEN = 3e-5;
  private static final Set<String> PROSE =
      Set.of("format", "mechanism", "case", "text", "model", "source", "note", "description");

  private static MiniLmFiles.@Nullable Loaded loaded;

  /// Made by `ServiceLoader`.
  public MiniLmReplay() {}

  @Override
  public List<String> prefixes() {
    return List.of(NAME + "__");
  }

  /// The model, read once for all files.
  static synchronized MiniLmFiles.Loaded model() throws IOException {
    MiniLmFiles.Loaded known = loaded;
    Optional<Path> source = MiniLmFiles.find(null);
    if (known == null || source.isEmpty() || !source.get().equals(known.source())) {
      known = MiniLmFiles.load(null, null);
      loaded = known;
    }
    return known;
  }

  @Override
  public ReplayResult replay(Path path) {
    String name = String.valueOf(path.getFileName());
    try {
      SafeTensors file = SafeTensors.open(path);
      String format = file.metadata().get("format");
      if (!(NAME + "-1").equals(format)) {
        throw new TensorFileException(path, "format must be " + NAME + "-1, but was " + format);
      }
      MiniLmFiles.Loaded model = model();
      return file.metadata().containsKey("configurations")
          ? SwapReplay.replay(name, file, model, THREADS)
          : new One(file, model).replay(name);
    } catch (IOException | IllegalArgumentException | UnsupportedOperationException e) {
      String reason = String.valueOf(e.getMessage());
      return new ReplayResult(name, NAME, Status.CANNOT_REPLAY, reason, List.of(), List.of());
    }
  }

  /// The verdict over comparisons.
  static ReplayResult result(
      String name, String what, List<Comparison> comparisons, List<String> skipped) {
    List<String> failing =
        comparisons.stream().filter(c -> !c.passed()).map(Comparison::name).toList();
    return new ReplayResult(
        name,
        what,
        failing.isEmpty() ? Status.PASSED : Status.DEVIATED,
        failing.isEmpty() ? "" : "deviating: " + String.join(", ", failing),
        comparisons,
        skipped);
  }

  /// Largest difference of two arrays, within a tolerance.
  static Comparison compare(String name, double[] expected, double[] found, double allowed) {
    double worst = expected.length == found.length ? 0 : Double.POSITIVE_INFINITY;
    for (int i = 0; i < expected.length && i < found.length; i++) {
      double distance = Math.abs(expected[i] - found[i]);
      worst = Math.max(worst, Double.isNaN(distance) ? Double.POSITIVE_INFINITY : distance);
    }
    double share = worst == 0 ? 0 : worst / allowed;
    return new Comparison(name, worst, allowed, share);
  }

  /// One file of texts and their embeddings.
  private static final class One {
    private final SafeTensors file;
    private final MiniLmFiles.Loaded model;
    private final int batch;
    private final int length;
    private final int[] ids;
    private final boolean[] real;
    private final List<Comparison> comparisons = new ArrayList<>();

    One(SafeTensors file, MiniLmFiles.Loaded model) throws TensorFileException {
      this.file = file;
      this.model = model;
      long[] shape = file.shape("input_ids");
      if (shape.length != 2) {
        throw new TensorFileException(
            file.path(), "input_ids must be [batch, n], but was " + Arrays.toString(shape));
      }
      batch = Math.toIntExact(shape[0]);
      length = Math.toIntExact(shape[1]);
      ids = file.ints("input_ids");
      real = mask();
      for (String key : file.metadata().keySet()) {
        boolean check = key.startsWith("max_abs_");
        if (!check && !PROSE.contains(key)) {
          throw new TensorFileException(file.path(), "keys must be known, but was " + key);
        }
      }
    }

    private boolean[] mask() throws TensorFileException {
      boolean[] mask = new boolean[ids.length];
      Arrays.fill(mask, true);
      if (file.contains("attention_mask")) {
        int[] values = file.ints("attention_mask");
        if (values.length != ids.length) {
          throw new TensorFileException(
              file.path(), "attention_mask must have the shape of input_ids, but has not");
        }
        for (int i = 0; i < values.length; i++) {
          mask[i] = values[i] != 0;
        }
      }
      return mask;
    }

    ReplayResult replay(String name) throws TensorFileException {
      List<String> skipped = new ArrayList<>();
      tokens(skipped);
      SentenceEncoder encoder =
          SentenceEncoder.keeping(model.model(), AttentionCore.EXACT, batch, length, THREADS);
      double[][] embeddings = encoder.embed(ids, real);
      double[] flat = Arrays.stream(embeddings).flatMapToDouble(Arrays::stream).toArray();
      for (String tensor : file.names()) {
        if (tensor.equals("embedding")) {
          comparisons.add(compare(tensor, file.doubles(tensor), flat, EMBEDDING));
        } else if (tensor.equals("embedding_onnxruntime")) {
          comparisons.add(compare(tensor, file.doubles(tensor), flat, OTHER_FLOAT32));
        } else if (tensor.matches("hidden_\\d{1,3}")) {
          int layer = Integer.parseInt(tensor.substring("hidden_".length()));
          if (layer > model.model().layers()) {
            throw new TensorFileException(file.path(), tensor + " must be a layer of the model");
          }
          comparisons.add(hidden(tensor, encoder.hidden(layer)));
        } else if (!tensor.equals("input_ids") && !tensor.equals("attention_mask")) {
          throw new TensorFileException(file.path(), "tensors must be known, but was " + tensor);
        }
      }
      if (comparisons.isEmpty()) {
        throw new TensorFileException(file.path(), "must hold an answer, but holds none");
      }
      return result(name, NAME, comparisons, skipped);
    }

    /// Rows of real tokens; those of padding mean nothing.
    private Comparison hidden(String name, Tensor found) throws TensorFileException {
      double[] expected = file.doubles(name);
      double[] values = new double[found.size()];
      int width = model.model().width();
      for (int i = 0; i < values.length; i++) {
        boolean counts = real[i / width];
        values[i] = counts || i >= expected.length ? found.data()[i] : expected[i];
      }
      return compare(name, expected, values, HIDDEN);
    }

    /// The numbers of the text, where the file holds one text.
    private void tokens(List<String> skipped) {
      String text = file.metadata().get("text");
      if (text == null || batch != 1) {
        return;
      }
      if (model.tokenizer().isEmpty()) {
        skipped.add("input_ids: no tokenizer beside the weights");
        return;
      }
      int count = 0;
      double[] expected = new double[length];
      for (int i = 0; i < length; i++) {
        if (real[i]) {
          expected[count++] = ids[i];
        }
      }
      int[] found = model.tokenizer().get().encode(text, Math.max(2, count));
      comparisons.add(
          compare(
              "input_ids",
              Arrays.copyOf(expected, count),
              Arrays.stream(found).asDoubleStream().toArray(),
              0.5));
    }
  }
}
