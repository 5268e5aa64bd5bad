// SPDX-License-Identifier: Apache-2.0
package dev.crossover.reports.cli;

import dev.crossover.attention.mechanism.Nearest;
import dev.crossover.bench.jobs.Jobs;
import dev.crossover.bench.swap.FrontSettings;
import dev.crossover.bench.swap.LanguageSwapRecord;
import dev.crossover.bench.swap.LanguageSwapRunner;
import dev.crossover.bench.swap.MiniLmFiles;
import dev.crossover.bench.swap.SwapRecord;
import dev.crossover.bench.swap.SwapRunner;
import dev.crossover.bench.swap.SwapSetting;
import dev.crossover.bench.swap.SwapTexts;
import dev.crossover.bench.tune.FrontFile;
import dev.crossover.models.layer.Ablation;
import dev.crossover.models.pretrained.PretrainedModel;
import dev.crossover.reports.page.LanguageSwapPage;
import dev.crossover.reports.page.SwapPage;
import java.io.IOException;
import java.io.PrintWriter;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

/// `crossover swap`: exchanges the attention of a trained model and compares its answers.
@Command(
    name = "swap",
    description = {
      "Exchange the attention of a trained model and compare its answers with the original's:"
          + " agreement, or bits per byte, against output error.",
      "A language model over bytes (--model bytes) can also learn with what was put in: after a"
          + " transfer, or from scratch. Settings that are done are left out when the command runs"
          + " again. Nothing is timed."
    },
    mixinStandardHelpOptions = true,
    sortOptions = false)
final class SwapCommand implements Callable<Integer> {
  private static final String CACHES = "caches";
  private static final List<String> MODELS = List.of("minilm", "bytes");

  /// The settings of the published table, and controls.
  private static final String DEFAULT_SETTINGS =
      "control:uniform,control:own_value,control:zero,"
          + "longformer:window=8,longformer:window=16,longformer:window=32,longformer:window=64,"
          + "longformer:window=128,longformer:window=8+global=ends,"
          + "linformer:projection=mean_pool,projected_length=32,"
          + "linformer:projection=mean_pool,projected_length=64,"
          + "linformer:projection=mean_pool,projected_length=128,"
          + "linformer:projection=mean_pool,projected_length=256,"
          + "balanced_pools:projected_length=32,balanced_pools:projected_length=64,"
          + "nystromformer:landmarks=16,nystromformer:landmarks=32,nystromformer:landmarks=64,"
          + "nystromformer:landmarks=32,init=exact,"
          + "topk:top_k=8,topk:top_k=32,topk:top_k=64,"
          + "bigbird:block_size=16,bigbird:block_size=32,bigbird:block_size=64,"
          + "linear_transformer,efficient_attention,cosformer,based,"
          + "performer:num_features=64,performer:num_features=256,performer:num_features=1024,"
          + "performer:num_features=256,eps=0,renorm_stabilizer=0";

  @Option(
      names = "--model",
      paramLabel = "MODEL",
      description =
          "The trained model: minilm (all-MiniLM-L6-v2, the default), or bytes (a language model of"
              + " this project).")
  private String model = "minilm";

  @Option(
      names = {"-m", "--mechanisms"},
      paramLabel = "SETTING,…",
      description =
          "Mechanisms as for sweep, longformer also with +global=first, last or ends, reformer with"
              + " +shared=keys, and +off=BRANCH to switch a branch of a mechanism off;"
              + " balanced_pools:projected_length=R; control:uniform, own_value or zero. The"
              + " settings of the published table when absent; with bytes every mechanism that has"
              + " a causal form; there caches stands for exact attention with stores, and with"
              + " every policy at budgets 64, 256 and 1024.")
  private @Nullable String settings;

  @Option(
      names = "--ablate",
      description =
          "Every setting also with each of its branches that are on switched off, one at a time;"
              + " crossover list names the branches.")
  private boolean ablate;

  @Option(
      names = "--front",
      paramLabel = "FILE",
      description =
          "Settings from the front.jsonl of a tune, too: the quickest within every permitted error"
              + " without a mask, or with bytes in causal order.")
  private @Nullable Path front;

  @Option(
      names = "--weights",
      paramLabel = "FILE",
      description =
          "The model's weights: .onnx, .safetensors, or a jar with an .onnx; what mvn -Pminilm"
              + " fetched when absent. With bytes a model of train --keep or --export; the built-in"
              + " one when absent.")
  private @Nullable Path weights;

  @Option(
      names = "--tokenizer",
      paramLabel = "FILE",
      description = "tokenizer.json or vocab.txt; the one beside the weights when absent.")
  private @Nullable Path tokenizer;

  @Option(
      names = "--texts",
      paramLabel = "FILE",
      description =
          "Texts, one a line; 64 built-in ones when absent. With bytes a text whose last twentieth"
              + " is read, and whose rest is learned from; the built-in one when absent.")
  private @Nullable Path texts;

  @Mixin private LanguageSwapOptions language = new LanguageSwapOptions();

  @Option(
      names = "--threads",
      paramLabel = "T",
      description = "Threads; all cores when absent. Nothing depends on it.")
  private @Nullable Integer threads;

  @Option(
      names = {"-o", "--out"},
      paramLabel = "DIR",
      description = "Folder of swap.jsonl, swap.md, figures/ and csv/; crossover-swap when absent.")
  private Path folder = Path.of("crossover-swap");

  @Mixin private JsonOption json = new JsonOption();

  @Spec private @Nullable CommandSpec spec;

  @Override
  public Integer call() throws IOException {
    CommandSpec self = Objects.requireNonNull(spec);
    PrintWriter out = self.commandLine().getOut();
    PrintWriter err = self.commandLine().getErr();
    if (!MODELS.contains(model)) {
      throw new IllegalArgumentException(
          "model must be one of " + MODELS + ", but was " + model + Nearest.hint(model, MODELS));
    }
    Jobs jobs = Main.jobs(self, threads);
    if (jobs.threads() < 1) {
      throw new IllegalArgumentException("threads must be >= 1, but was " + jobs.threads());
    }
    if (model.equals("bytes")) {
      return swapLanguageModel(self, jobs);
    }
    language.refuse(model);
    List<SwapSetting> wanted =
        specs(Lists.specs(settings == null ? DEFAULT_SETTINGS : settings), "none", err).stream()
            .map(SwapSetting::parse)
            .toList();
    SwapTexts read = texts == null ? SwapTexts.builtIn() : SwapTexts.read(texts);
    MiniLmFiles.Loaded loaded = MiniLmFiles.load(weights, tokenizer);
    Files.createDirectories(folder);
    SwapRunner runner =
        new SwapRunner(folder.resolve(SwapRunner.FILE), loaded, read, jobs, err::println);
    List<SwapRecord> records = runner.run(wanted);
    Path page = SwapPage.write(records, folder, TypedCommand.of(self), Here.words());
    String address = page.toAbsolutePath().toUri().toString();
    json.print(
        out,
        () -> Map.of("swap", address, "settings", SwapPage.rows(records)),
        () -> {
          out.print(SwapPage.table(records));
          out.println("swap: " + address);
        });
    return 0;
  }

  private int swapLanguageModel(CommandSpec self, Jobs jobs) throws IOException {
    PrintWriter out = self.commandLine().getOut();
    PrintWriter err = self.commandLine().getErr();
    if (tokenizer != null) {
      throw new IllegalArgumentException(
          "tokenizer must not be given with --model bytes, but was " + tokenizer);
    }
    List<String> given =
        settings == null
            ? LanguageSwapRunner.everyCausal()
            : settings.strip().equals(CACHES) ? LanguageSwapRunner.caches() : Lists.specs(settings);
    List<String> wanted = specs(given, "causal", err);
    wanted.forEach(Ablation::parse);
    String name = weights == null ? PretrainedModel.BUILT_IN : weights.toString();
    if (language.isDryRun() && Main.cluster(self).isPresent()) {
      throw new IllegalArgumentException(
          "dry-run must be absent on a cluster, where nothing is timed, but was given");
    }
    LanguageSwapRunner runner =
        new LanguageSwapRunner(
            name,
            texts == null ? "" : texts.toString(),
            language.lengths(),
            language.windows(),
            language.budget(),
            jobs,
            err::println);
    if (language.isDryRun()) {
      var forecast = runner.forecast(wanted, System::nanoTime);
      json.print(out, () -> forecast, () -> LanguageSwapOptions.tell(forecast, out));
      return 0;
    }
    List<LanguageSwapRecord> records = runner.run(folder.resolve(LanguageSwapRunner.FILE), wanted);
    Path page = LanguageSwapPage.write(records, folder, TypedCommand.of(self), Here.words());
    String address = page.toAbsolutePath().toUri().toString();
    json.print(
        out,
        () -> Map.of("swap", address, "settings", records),
        () -> {
          out.print(LanguageSwapPage.tables(records));
          out.println("swap: " + address);
        });
    return 0;
  }

  /// The settings asked for, those of --front behind them.
  ///
  /// @param mask of the model
  private List<String> specs(List<String> given, String mask, PrintWriter err) throws IOException {
    List<String> texts = new ArrayList<>(given);
    Path file = front;
    if (file != null) {
      if (!Files.isRegularFile(file)) {
        throw new NoSuchFileException(file.toString());
      }
      FrontFile.Contents tuned = FrontFile.read(List.of(file));
      tuned.warnings().forEach(err::println);
      List<String> specs = FrontSettings.of(tuned.records(), mask);
      if (specs.isEmpty()) {
        throw new IllegalArgumentException(
            "front must hold a setting within a permitted error with mask "
                + mask
                + ", but "
                + file
                + " holds none");
      }
      texts.addAll(specs);
    }
    List<String> distinct = texts.stream().map(String::strip).distinct().toList();
    return ablate ? ablated(distinct) : distinct;
  }

  /// The settings, each followed by those with one of its branches off.
  private static List<String> ablated(List<String> texts) {
    List<String> all = new ArrayList<>();
    for (String text : texts) {
      all.add(text);
      if (SwapSetting.hasMechanism(text)) {
        all.addAll(Ablation.each(text));
      }
    }
    if (all.size() == texts.size()) {
      throw new IllegalArgumentException(
          "ablate must be given with a mechanism of which a branch is on, but was given for "
              + String.join(", ", texts));
    }
    return all.stream().distinct().toList();
  }
}
