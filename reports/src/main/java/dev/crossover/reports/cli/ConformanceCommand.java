// SPDX-License-Identifier: Apache-2.0
package dev.crossover.reports.cli;

import dev.crossover.attention.conformance.GoldenFile;
import dev.crossover.attention.conformance.GoldenReplay;
import dev.crossover.attention.conformance.Replay;
import dev.crossover.attention.conformance.ReplayResult;
import dev.crossover.attention.mechanism.MechanismType;
import dev.crossover.attention.mechanism.Nearest;
import dev.crossover.attention.tensor.TensorFileException;
import dev.crossover.bench.swap.MiniLmFiles;
import dev.crossover.models.layer.LayerCatalogue;
import dev.crossover.variants.Catalogue;
import java.io.IOException;
import java.io.PrintWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.concurrent.Callable;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.Spec;

/// `crossover conformance FILE…`: replays golden files through the mechanisms they name.
@Command(
    name = "conformance",
    description = {
      "Replay golden files through the mechanisms they name and compare the outputs.",
      "Exit code 1 if any deviates or cannot be replayed."
    },
    mixinStandardHelpOptions = true,
    sortOptions = false)
final class ConformanceCommand implements Callable<Integer> {
  @Parameters(
      arity = "1..*",
      paramLabel = "FILE",
      description = "Golden files, or folders whose .safetensors files are all replayed.")
  private List<Path> files = new ArrayList<>();

  @Option(
      names = "--weights",
      paramLabel = "FILE",
      description =
          "Weights of all-MiniLM-L6-v2 for files minilm__*: .onnx, .safetensors, or a jar with an"
              + " .onnx; what mvn -Pminilm fetched when absent.")
  private @Nullable Path weights;

  @Option(
      names = "--tokenizer",
      paramLabel = "FILE",
      description = "tokenizer.json or vocab.txt of it; the one beside the weights when absent.")
  private @Nullable Path tokenizer;

  @Mixin private JsonOption json = new JsonOption();

  @Spec private @Nullable CommandSpec spec;

  private final List<GoldenReplay> kinds = GoldenReplay.all();
  private final List<Object> told = new ArrayList<>();
  private int passed;
  private int deviated;
  private int notReplayed;

  @Override
  public Integer call() throws IOException {
    PrintWriter out = Objects.requireNonNull(spec).commandLine().getOut();
    MiniLmFiles.use(weights, tokenizer);
    for (Path file : files) {
      for (Path one : expanded(file)) {
        replay(one);
      }
    }
    json.print(
        out,
        () ->
            Map.of(
                "passed", passed, "deviated", deviated, "notReplayed", notReplayed, "files", told),
        () ->
            out.println(
                passed
                    + " passed, "
                    + deviated
                    + " deviated, "
                    + notReplayed
                    + " could not be replayed"));
    return deviated == 0 && notReplayed == 0 && passed > 0 ? 0 : Main.FAILED;
  }

  private void replay(Path path) {
    for (GoldenReplay kind : kinds) {
      if (kind.accepts(path)) {
        report(kind.replay(path));
        return;
      }
    }
    GoldenFile file;
    try {
      file = GoldenFile.read(path);
    } catch (TensorFileException e) {
      refused(path, String.valueOf(e.getMessage()));
      return;
    }
    List<MechanismType> types = LayerCatalogue.findGolden(file.mechanism(), file.parameters());
    if (types.isEmpty()) {
      List<String> known = Catalogue.all().stream().map(MechanismType::goldenName).toList();
      refused(
          path,
          path
              + ": mechanism must be in the catalogue, but was "
              + file.mechanism()
              + Nearest.hint(file.mechanism(), known));
      return;
    }
    // of several mechanisms that share a golden name, those that lack an option are not asked
    List<MechanismType> able = types.stream().filter(type -> Replay.covers(file, type)).toList();
    for (MechanismType type : able.isEmpty() ? types : able) {
      report(Replay.run(file, type));
    }
  }

  /// A file of which no mechanism was asked.
  private void refused(Path path, String message) {
    say("CANNOT REPLAY  " + message);
    told.add(Map.of("file", path.toString(), "status", "cannot_replay", "detail", message));
    notReplayed++;
  }

  /// Words for people, as soon as they are known.
  private void say(String line) {
    if (!json.wanted()) {
      Objects.requireNonNull(spec).commandLine().getOut().println(line);
    }
  }

  private void report(ReplayResult result) {
    say(result.line());
    told.add(result);
    switch (result.status()) {
      case PASSED -> passed++;
      case DEVIATED -> deviated++;
      case CANNOT_REPLAY -> notReplayed++;
    }
  }

  private static List<Path> expanded(Path path) throws IOException {
    if (!Files.isDirectory(path)) {
      return List.of(path);
    }
    try (Stream<Path> inside = Files.walk(path)) {
      return inside.filter(file -> file.toString().endsWith(".safetensors")).sorted().toList();
    }
  }
}
