// SPDX-License-Identifier: Apache-2.0
package dev.crossover.reports.cli;

import dev.crossover.attention.mechanism.Nearest;
import dev.crossover.attention.random.Draws;
import dev.crossover.models.graph.Parameters;
import dev.crossover.models.layer.LayerOptions;
import dev.crossover.models.layer.Mechanisms;
import dev.crossover.models.model.Initialisation;
import dev.crossover.models.model.LanguageModelSession;
import dev.crossover.models.model.ModelKind;
import dev.crossover.models.model.ModelSizes;
import dev.crossover.models.model.TextGenerator;
import dev.crossover.models.pretrained.PretrainedModel;
import dev.crossover.models.task.Bytes;
import dev.crossover.models.training.Recipe;
import dev.crossover.models.training.TrainedModel;
import java.io.IOException;
import java.io.PrintWriter;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Objects;
import java.util.TreeMap;
import java.util.concurrent.Callable;
import java.util.stream.Collectors;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

/// `crossover generate`: continues a text with a small language model, token by token.
@Command(
    name = "generate",
    description = {
      "Continue a text with a small language model around any mechanism that decodes, token by"
          + " token, with any store of its keys and values.",
      "The model is the built-in one over bytes, or one that crossover train --keep has left, or"
          + " has random weights: then its text means nothing, but its speed and its bytes are"
          + " those of its sizes."
    },
    mixinStandardHelpOptions = true,
    sortOptions = false)
final class GenerateCommand implements Callable<Integer> {
  private static final int BYTES = 256;
  private static final double NANOS = 1e9;

  @Option(
      names = "--prompt",
      paramLabel = "TEXT",
      required = true,
      description =
          "What is continued: its UTF-8 bytes are the tokens. For a model with another vocabulary"
              + " than 256: token numbers, as in '3 17 5'.")
  private String prompt = "";

  @Option(
      names = {"-m", "--mechanism"},
      paramLabel = "MIXER",
      description =
          "Mechanism in every block; the model's own when absent. With --random: tiled when absent,"
              + " with options of model and sizes behind it as for train:"
              + " tiled+layers=4+width=256+heads=8.")
  private String mixer = "";

  @Option(
      names = "--store",
      paramLabel = "STORE",
      description =
          "How keys and values are stored: f32, f16, bf16, int8, int8_grouped, int4_grouped,"
              + " int2_grouped.")
  private String store = "";

  @Option(
      names = "--cache",
      paramLabel = "POLICY",
      description = "Which positions are kept, as in 'h2o,budget=64'; all when absent.")
  private String cache = "";

  @Option(
      names = "--checkpoint",
      paramLabel = "FILE",
      description =
          "A model of crossover train --keep or --export, or a checkpoint; builtin, the built-in"
              + " model, when absent.")
  private @Nullable String checkpoint;

  @Option(names = "--random", description = "A fresh model with random weights instead.")
  private boolean random;

  @Option(names = "--tokens", paramLabel = "N", description = "Tokens to generate; 64 when absent.")
  private int tokens = 64;

  @Option(
      names = "--temperature",
      paramLabel = "T",
      description = "0, the default, takes the likeliest token.")
  private double temperature;

  @Option(names = "--seed", paramLabel = "S", description = "Of random weights and of draws.")
  private long seed = Draws.DEFAULT_SEED;

  @Option(
      names = "--threads",
      paramLabel = "T",
      description = "Threads; all cores when absent. The text does not depend on it.")
  private int threads = Runtime.getRuntime().availableProcessors();

  @Spec private @Nullable CommandSpec spec;

  /// A model to run.
  ///
  /// @param told where it comes from
  private record Chosen(
      LayerOptions layers, ModelSizes sizes, Parameters parameters, String told) {}

  @Override
  public Integer call() throws IOException {
    PrintWriter out = Objects.requireNonNull(spec).commandLine().getOut();
    if (tokens < 1) {
      throw new IllegalArgumentException("tokens must be >= 1, but was " + tokens);
    }
    if (threads < 1) {
      throw new IllegalArgumentException("threads must be >= 1, but was " + threads);
    }
    if (random && checkpoint != null) {
      throw new IllegalArgumentException(
          "checkpoint must not be given with --random, but was " + checkpoint);
    }
    Chosen model = random ? random() : trained();
    int vocabulary = model.sizes.size("vocabulary");
    int[] read = tokensOf(vocabulary);
    int longest = Math.addExact(read.length, tokens);
    requireLearned(model, longest);
    LanguageModelSession session =
        new LanguageModelSession(model.layers, model.parameters, 1, longest, threads);
    TextGenerator generator = new TextGenerator(session, temperature, seed);
    long start = System.nanoTime();
    generator.read(read);
    long reading = System.nanoTime() - start;
    int[] said = new int[tokens];
    start = System.nanoTime();
    for (int t = 0; t < tokens; t++) {
      said[t] = generator.next();
    }
    long saying = System.nanoTime() - start;
    out.println(textOf(said, vocabulary));
    out.println();
    out.println("model      " + model.told);
    out.println("mixer      " + model.layers.mixer(0));
    out.println("read       " + speed(read.length, reading));
    out.println("generated  " + speed(tokens, saying));
    out.println(
        String.format(
            Locale.ROOT,
            "state      %d bytes after %d tokens, %.1f a token",
            session.stateBytes(),
            session.position(),
            session.stateBytes() / (double) session.position()));
    out.flush();
    return 0;
  }

  private static String speed(int count, long nanos) {
    return String.format(Locale.ROOT, "%d tokens, %.1f tokens/s", count, count * NANOS / nanos);
  }

  /// A fresh model.
  private Chosen random() {
    String[] pieces = (mixer.isEmpty() ? "tiled" : mixer).split("\\+");
    Map<String, String> values = new LinkedHashMap<>();
    values.putAll(Map.of("layers", "2", "width", "64", "heads", "4", "feed_forward", "gelu"));
    values.putAll(Recipe.mixerDefaults(pieces[0]));
    int longest = Math.addExact(prompt.getBytes(StandardCharsets.UTF_8).length, tokens);
    values.put("max_length", Integer.toString(longest));
    for (int i = 1; i < pieces.length; i++) {
      int equals = pieces[i].indexOf('=');
      if (equals < 1) {
        throw new IllegalArgumentException(
            pieces[0] + ": options must read key=value, but was '" + pieces[i] + "'");
      }
      values.put(pieces[i].substring(0, equals), pieces[i].substring(equals + 1));
    }
    Map<String, String> layers = new TreeMap<>(Map.of("mixer", cached(pieces[0])));
    Map<String, String> sizes = new TreeMap<>();
    values.forEach(
        (key, value) -> {
          if (LayerOptions.isKey(key)) {
            layers.put(key, value);
          } else if (ModelSizes.isKey(key)) {
            sizes.put(key, value);
          } else {
            List<String> known = List.of("layers", "width", "heads", "kv_heads", "positions");
            throw new IllegalArgumentException(
                "option must be one of a layer or a size, but was "
                    + key
                    + Nearest.hint(key, known));
          }
        });
    LayerOptions options = LayerOptions.of(layers);
    ModelSizes model = ModelSizes.of(sizes);
    return new Chosen(
        options,
        model,
        Initialisation.of(ModelKind.LANGUAGE_MODEL, options, model, seed),
        "random weights of seed " + seed + ": its text means nothing");
  }

  /// A model that was trained, around its own mixer or another.
  private Chosen trained() throws IOException {
    if (mixer.contains("+")) {
      throw new IllegalArgumentException(
          "mechanism must have no options of a model without --random, but was " + mixer);
    }
    String name = checkpoint == null ? PretrainedModel.BUILT_IN : checkpoint;
    if (checkpoint == null && !PretrainedModel.hasBuiltIn()) {
      throw new IllegalArgumentException(
          "checkpoint or --random must be given, since this build has no language model of its own,"
              + " but neither was");
    }
    TrainedModel model = PretrainedModel.load(name).model();
    LayerOptions layers = model.layers();
    for (int block = 0; block < layers.layers(); block++) {
      String own = mixer.isEmpty() ? layers.mixer(block) : mixer;
      layers =
          layers.with("mixer." + block, Mechanisms.inBlock(cached(own), block, layers.layers()));
    }
    return new Chosen(
        layers, model.sizes(), model.parameters(), name + ", trained on " + model.task());
  }

  /// A mixer with the store and the policy asked for.
  private String cached(String own) {
    String text = own;
    if (!store.isEmpty()) {
      text += (text.contains(":") ? "," : ":") + "store=" + store;
    }
    if (!cache.isEmpty()) {
      text += (text.contains(":") ? "," : ":") + "cache=" + cache;
    }
    if (!text.equals(own)) {
      Mechanisms.parse(text); // refused by name before anything is read
    }
    return text;
  }

  private static void requireLearned(Chosen model, int longest) {
    int most = model.sizes.size("max_length");
    if (model.parameters.has("positions.weight") && longest > most) {
      throw new IllegalArgumentException(
          "prompt and tokens must be at most the model's max_length ("
              + most
              + ") together, but were "
              + longest);
    }
  }

  private int[] tokensOf(int vocabulary) {
    if (vocabulary == BYTES) {
      byte[] bytes = prompt.getBytes(StandardCharsets.UTF_8);
      return Bytes.tokens(bytes, 0, bytes.length);
    }
    try {
      int[] read =
          Arrays.stream(prompt.strip().split("\\s+")).mapToInt(Integer::parseInt).toArray();
      if (Arrays.stream(read).allMatch(token -> token >= 0 && token < vocabulary)) {
        return read;
      }
    } catch (NumberFormatException e) {
      // answered below
    }
    throw new IllegalArgumentException(
        "prompt must be numbers from 0 to "
            + (vocabulary - 1)
            + ", the model's tokens, but was '"
            + prompt
            + "'");
  }

  /// Bytes as text, what no terminal should see written out; other tokens as numbers.
  private static String textOf(int[] said, int vocabulary) {
    if (vocabulary != BYTES) {
      return Arrays.stream(said).mapToObj(Integer::toString).collect(Collectors.joining(" "));
    }
    byte[] bytes = new byte[said.length];
    for (int i = 0; i < bytes.length; i++) {
      bytes[i] = (byte) said[i];
    }
    StringBuilder text = new StringBuilder();
    for (char c : new String(bytes, StandardCharsets.UTF_8).toCharArray()) {
      if (Character.isISOControl(c) && c != '\n' && c != '\t') {
        text.append(String.format(Locale.ROOT, "\\x%02x", (int) c));
      } else {
        text.append(c);
      }
    }
    return text.toString();
  }
}
