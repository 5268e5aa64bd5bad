// SPDX-License-Identifier: Apache-2.0
package dev.crossover.reports.cli;

import dev.crossover.attention.mechanism.Nearest;
import dev.crossover.bench.error.ErrorProblem;
import dev.crossover.bench.input.InputSource;
import dev.crossover.bench.reading.AttentionStack;
import dev.crossover.bench.reading.CausalGraph;
import dev.crossover.bench.reading.GraphReading.Settings;
import dev.crossover.bench.reading.PathTable;
import dev.crossover.bench.swap.LanguageModelAttention;
import dev.crossover.bench.swap.MiniLmAttention;
import dev.crossover.bench.swap.MiniLmFiles;
import dev.crossover.models.pretrained.PretrainedModel;
import dev.crossover.models.pretrained.WordPiece;
import dev.crossover.models.task.Bytes;
import dev.crossover.models.training.TrainedModel;
import dev.crossover.reports.page.ExplainPage;
import dev.crossover.reports.page.PathsTable;
import dev.crossover.reports.study.ExampleText;
import dev.crossover.reports.study.ExplainReport;
import java.io.IOException;
import java.io.PrintWriter;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.concurrent.Callable;
import java.util.stream.IntStream;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

/// `crossover explain`: causal graphs, statistics of heads, rollout and path lengths.
@Command(
    name = "explain",
    description = {
      "Read attention: the causal graph of a sequence under exact attention beside that of other"
          + " mechanisms, sets that explain a token, statistics of heads, rollout and flow, path"
          + " lengths.",
      "Queries and keys are the built-in ones, a label's, or a file's; --attention takes the"
          + " weights of any model's layers as they are. Nothing is timed."
    },
    mixinStandardHelpOptions = true,
    sortOptions = false)
final class ExplainCommand implements Callable<Integer> {
  private static final String USUAL =
      "longformer:window=16,nystromformer:landmarks=32,linear_transformer";
  private static final int POSITIONS = 128;
  private static final int TOKENS = 12;
  private static final int MOST_TOKENS = 64;
  private static final int MOST_BYTES = 512;

  @Option(
      names = "--example",
      description = "Print attention over three tokens, every number of it, and nothing else.")
  private boolean example;

  @Option(
      names = "--path-lengths",
      description = "Print the tables of path lengths as Markdown, and nothing else.")
  private boolean pathLengths;

  @Option(
      names = "--input",
      paramLabel = "INPUT",
      description = "Where queries and keys come from, as for sweep; captured when absent.")
  private @Nullable String input;

  @Mixin private QkvOptions qkv = new QkvOptions();

  @Option(
      names = "--attention",
      paramLabel = "FILE",
      description =
          "Attention weights of your own instead: .safetensors, .npz or .npy, one tensor [layers,"
              + " heads, n, n] or [heads, n, n], or one a layer.")
  private @Nullable Path attention;

  @Option(
      names = "--attention-name",
      paramLabel = "NAME",
      description =
          "Its name, attention when absent; {layer} stands for the layer, from 0 (one tensor"
              + " each).")
  private @Nullable String attentionName;

  @Option(
      names = "--text",
      paramLabel = "TEXT",
      description =
          "Attention of a trained encoder, all-MiniLM-L6-v2, reading a text instead; its tokens get"
              + " their word pieces as names.")
  private @Nullable String text;

  @Option(
      names = "--model",
      paramLabel = "MODEL",
      description =
          "The language model that reads --text, byte by byte, in the encoder's place: builtin, or"
              + " a file of train --keep or --export.")
  private @Nullable String model;

  @Option(
      names = "--weights",
      paramLabel = "FILE",
      description =
          "The encoder's weights: .onnx, .safetensors, or a jar with an .onnx; what mvn -Pminilm"
              + " fetched when absent.")
  private @Nullable Path weights;

  @Option(
      names = "--tokenizer",
      paramLabel = "FILE",
      description = "Its tokenizer.json or vocab.txt; the one beside the weights when absent.")
  private @Nullable Path tokenizer;

  @Option(
      names = "--layer",
      paramLabel = "L",
      description =
          "Layer of --attention or --text whose head becomes a graph, from 0; the last when"
              + " absent.")
  private @Nullable Integer layer;

  @Option(names = "--head", paramLabel = "H", description = "The head, from 0.")
  private int head;

  @Option(names = "--n", paramLabel = "N", description = "Positions; 128, or all the input has.")
  private @Nullable Integer n;

  @Option(
      names = "--nodes",
      paramLabel = "A..B|P,…",
      description =
          "Positions that become tokens of the graph, at most 64; the last 12 when absent."
              + " Attention to all others still counts.")
  private @Nullable String nodes;

  @Option(
      names = "--tokens",
      paramLabel = "FILE",
      description = "Text of the tokens, one a line, in the order of positions.")
  private @Nullable Path tokens;

  @Option(
      names = "--mask",
      paramLabel = "MASK,…",
      description = "causal,none (the default): one part for each.")
  private String masks = "causal,none";

  @Option(
      names = {"-m", "--mechanisms"},
      paramLabel = "SPEC,…",
      description = "Mechanisms beside exact attention; " + USUAL + " when absent.")
  private String mechanisms = USUAL;

  @Option(
      names = "--samples",
      paramLabel = "K",
      description =
          "Samples from which weights are thought to be estimated; the head's width when absent (64"
              + " with --attention).")
  private @Nullable Integer samples;

  @Option(
      names = "--significance",
      paramLabel = "P",
      description = "Tokens are independent above it; 0.01 when absent.")
  private double significance = 0.01;

  @Option(
      names = "--learner",
      paramLabel = "icd|ordered|fci",
      description =
          "How graphs are learned; icd when absent. ordered takes the order of positions as known.")
  private String learner = "icd";

  @Option(
      names = "--rule10",
      paramLabel = "code|published",
      description = "Form of orientation rule 10; code, the authors' program, when absent.")
  private String rule10 = "code";

  @Option(
      names = "--max-order",
      paramLabel = "R",
      description = "Largest set conditioned on; no limit when absent.")
  private int maxOrder = -1;

  @Option(
      names = "--max-tests",
      paramLabel = "K",
      description = "Most tests; a million when absent.")
  private int maxTests = 1_000_000;

  @Option(
      names = "--target",
      paramLabel = "P",
      description = "Position of a token of the graph whose explanation is sought.")
  private @Nullable Integer target;

  @Option(
      names = "--share",
      paramLabel = "X",
      description =
          "Share of the target's weight on the other tokens that a set must hold to explain it; 0.5"
              + " when absent.")
  private double share = 0.5;

  @Option(names = "--seed", paramLabel = "S", description = "Seed of drawn tensors; 42.")
  private long seed = 42;

  @Option(
      names = "--threads",
      paramLabel = "T",
      description = "Threads; all cores when absent. Nothing depends on it.")
  private int threads = Runtime.getRuntime().availableProcessors();

  @Option(
      names = {"-o", "--out"},
      paramLabel = "DIR",
      description =
          "Folder of explain.html, explain.json, figures/, graphs/ and csv/; crossover-explain when"
              + " absent.")
  private Path folder = Path.of("crossover-explain");

  @Mixin private JsonOption json = new JsonOption();

  @Spec private @Nullable CommandSpec spec;

  /// Word pieces of --text, by position.
  private List<String> pieces = List.of();

  @Override
  public Integer call() throws IOException {
    CommandSpec self = Objects.requireNonNull(spec);
    PrintWriter out = self.commandLine().getOut();
    if (example) {
      if (json.wanted()) {
        throw new IllegalArgumentException("json must not be given with --example, which is text");
      }
      out.print(ExampleText.of());
      out.flush();
      return 0;
    }
    if (pathLengths) {
      PathTable table = PathTable.of(PathsTable.POSITIONS);
      json.print(
          out,
          () -> Map.of("n", table.n(), "layers", PathsTable.rows(table)),
          () -> out.print(PathsTable.markdown(table)));
      return 0;
    }
    ExplainReport report;
    if (text != null) {
      report = ofText(text);
    } else {
      report = attention == null ? ofProblems() : ofStack(attention);
    }
    Path page =
        ExplainPage.write(
            report, Optional.of(PathTable.of(PathsTable.POSITIONS)), folder, TypedCommand.of(self));
    json.print(
        out,
        () ->
            Map.of(
                "page",
                page.toAbsolutePath().toUri().toString(),
                "parts",
                report.parts().stream().map(ExplainCommand::part).toList()),
        () -> {
          report.parts().forEach(part -> tell(out, part));
          out.println("page: " + page.toAbsolutePath());
        });
    return 0;
  }

  private static void tell(PrintWriter out, ExplainReport.Part part) {
    out.println(part.title() + ":");
    part.entries().forEach(entry -> out.println("  " + ExplainReport.line(entry)));
    part.left().forEach(left -> out.println("  " + left + ": not with this mask or size"));
  }

  private static Map<String, Object> part(ExplainReport.Part part) {
    return Map.of(
        "title",
        part.title(),
        "graphs",
        part.entries().stream()
            .map(one -> Map.of("spec", one.spec(), "words", ExplainReport.line(one)))
            .toList(),
        "left",
        part.left());
  }

  private ExplainReport ofProblems() throws IOException {
    if (attentionName != null || layer != null) {
      throw new IllegalArgumentException(
          "attention must be given with --attention-name, and it or text with --layer, but was"
              + " absent");
    }
    if (weights != null || tokenizer != null || model != null) {
      throw new IllegalArgumentException(
          "text must be given with --weights, --tokenizer and --model, but was absent");
    }
    Optional<String> file = qkv.label();
    if (file.isPresent() && input != null) {
      throw new IllegalArgumentException("input must not be given with --qkv, but was " + input);
    }
    String label = file.orElse(input == null ? InputSource.CAPTURED : input);
    List<String> specs = Lists.specs(mechanisms);
    specs.forEach(Lists::requireMechanism);
    int longest = InputSource.parse(label).maxSeqLen();
    int positions = n == null ? Math.min(POSITIONS, longest) : n;
    if (positions < 1 || positions > Math.min(512, longest)) {
      throw new IllegalArgumentException(
          "n must be from 1 to " + Math.min(512, longest) + ", but was " + positions);
    }
    List<Boolean> causal = Lists.pieces(masks, Lists::causal).stream().distinct().toList();
    List<ErrorProblem> problems = ExplainReport.problems(label, positions, causal, seed, threads);
    int width = problems.getFirst().shape().headDim();
    return ExplainReport.ofProblems(wish(positions, width), problems, specs);
  }

  private ExplainReport ofStack(Path file) throws IOException {
    if (input != null || qkv.label().isPresent() || n != null) {
      throw new IllegalArgumentException(
          "attention must not be given with --input, --qkv or --n, but was " + file);
    }
    String name = attentionName == null ? "attention" : attentionName;
    AttentionStack stack = AttentionStack.read(file, name);
    String source = file.getFileName() + ", " + stack.depth() + " layers";
    int one = layer == null ? stack.depth() - 1 : layer;
    return ExplainReport.ofStack(wish(stack.queries(), 64), stack, source, one);
  }

  private ExplainReport ofText(String given) throws IOException {
    if (input != null || qkv.label().isPresent() || n != null || attention != null) {
      throw new IllegalArgumentException(
          "text must not be given with --input, --qkv, --n or --attention, but was '"
              + given
              + "'");
    }
    if (model != null) {
      return ofLanguageModel(given, model);
    }
    MiniLmFiles.Loaded loaded = MiniLmFiles.load(weights, tokenizer);
    WordPiece words = loaded.requireTokenizer();
    int[] ids = words.encode(given, loaded.model().positions());
    pieces = Arrays.stream(ids).mapToObj(words::piece).toList();
    AttentionStack stack = MiniLmAttention.of(loaded.model(), ids, threads);
    String source = "all-MiniLM-L6-v2, " + stack.depth() + " layers, " + ids.length + " tokens";
    int one = layer == null ? stack.depth() - 1 : layer;
    int width = loaded.model().width() / loaded.model().heads();
    return ExplainReport.ofStack(wish(ids.length, width), stack, source, one);
  }

  private ExplainReport ofLanguageModel(String given, String name) throws IOException {
    if (weights != null || tokenizer != null) {
      throw new IllegalArgumentException(
          "weights and tokenizer must not be given with --model, but were for " + name);
    }
    byte[] bytes = given.getBytes(StandardCharsets.UTF_8);
    if (bytes.length < 1 || bytes.length > MOST_BYTES) {
      throw new IllegalArgumentException(
          "text must be from 1 to " + MOST_BYTES + " bytes, but was " + bytes.length);
    }
    TrainedModel trained = PretrainedModel.load(name).requireBytes().model();
    pieces = IntStream.range(0, bytes.length).mapToObj(i -> piece(bytes[i])).toList();
    int[] tokens = Bytes.tokens(bytes, 0, bytes.length);
    AttentionStack stack = LanguageModelAttention.of(trained, tokens, threads);
    String source = name + ", " + stack.depth() + " layers, " + bytes.length + " bytes";
    int one = layer == null ? stack.depth() - 1 : layer;
    int width = trained.sizes().size("width") / trained.layers().heads();
    return ExplainReport.ofStack(wish(bytes.length, width), stack, source, one);
  }

  /// A byte as a name: its letter, or its number where it has none to see.
  private static String piece(byte value) {
    return value > ' ' && value < 127
        ? String.valueOf((char) value)
        : String.format(Locale.ROOT, "x%02x", value & 0xff);
  }

  private ExplainReport.Wish wish(int positions, int width) throws IOException {
    List<Integer> chosen = nodes(positions);
    List<String> names = names(positions, chosen);
    CausalGraph.Options options =
        CausalGraph.Options.STANDARD
            .with(learner())
            .rules(true, true, choice("rule10", rule10, List.of("code", "published")) == 1)
            .limits(maxOrder, maxTests);
    Settings settings = new Settings(samples == null ? width : samples, significance, options);
    OptionalInt wanted = target == null ? OptionalInt.empty() : OptionalInt.of(target);
    return new ExplainReport.Wish(chosen, names, head, settings, wanted, share);
  }

  private CausalGraph.Learner learner() {
    List<String> names = new ArrayList<>();
    for (CausalGraph.Learner one : CausalGraph.Learner.values()) {
      names.add(one.name().toLowerCase(Locale.ROOT));
    }
    return CausalGraph.Learner.values()[choice("learner", learner, names)];
  }

  private static int choice(String name, String value, List<String> known) {
    int at = known.indexOf(value);
    if (at < 0) {
      throw new IllegalArgumentException(
          name + " must be one of " + known + ", but was " + value + Nearest.hint(value, known));
    }
    return at;
  }

  private List<Integer> nodes(int positions) {
    List<Integer> chosen = new ArrayList<>();
    String text = nodes;
    if (text == null) {
      return IntStream.range(Math.max(0, positions - TOKENS), positions).boxed().toList();
    }
    for (String piece : text.split(",", -1)) {
      String[] ends = piece.strip().split("\\.\\.", -1);
      try {
        int first = Integer.parseInt(ends[0]);
        int last = Integer.parseInt(ends[ends.length - 1]);
        if (ends.length > 2 || first < 0 || last < first || last >= positions) {
          throw new NumberFormatException(piece);
        }
        IntStream.rangeClosed(first, last).forEach(chosen::add);
      } catch (NumberFormatException e) {
        throw new IllegalArgumentException(
            "nodes must be positions from 0 to "
                + (positions - 1)
                + ", or ranges a..b of them, but was '"
                + text
                + "'",
            e);
      }
    }
    List<Integer> sorted = chosen.stream().distinct().sorted().toList();
    if (sorted.size() > MOST_TOKENS) {
      throw new IllegalArgumentException(
          "nodes must be at most " + MOST_TOKENS + ", but were " + sorted.size());
    }
    return sorted;
  }

  private List<String> names(int positions, List<Integer> chosen) throws IOException {
    if (tokens == null) {
      return chosen.stream()
          .map(position -> pieces.isEmpty() ? String.valueOf(position) : pieces.get(position))
          .toList();
    }
    List<String> lines = Files.readAllLines(tokens);
    if (lines.size() < positions) {
      throw new IllegalArgumentException(
          "tokens must be at least "
              + positions
              + " lines, one a position, but "
              + tokens
              + " has "
              + lines.size());
    }
    return chosen.stream().map(position -> lines.get(position).strip()).toList();
  }
}
