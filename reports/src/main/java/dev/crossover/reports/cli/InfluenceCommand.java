// SPDX-License-Identifier: Apache-2.0
package dev.crossover.reports.cli;

import dev.crossover.attention.Capabilities.Causality;
import dev.crossover.bench.machine.Commit;
import dev.crossover.bench.machine.Machine;
import dev.crossover.bench.quality.Influence;
import dev.crossover.reports.page.InfluencePage;
import dev.crossover.variants.Catalogue;
import java.io.IOException;
import java.io.PrintWriter;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Objects;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

/// `crossover influence`: what one symbol moves at the end of a word, against the word's length.
@Command(
    name = "influence",
    description = {
      "Measure how far flipping the first of n bits moves the logits after the last, in random"
          + " models: slope against n with its interval, beside Hahn's bound of 1/n.",
      "Nothing is trained and nothing is timed."
    },
    mixinStandardHelpOptions = true,
    sortOptions = false)
final class InfluenceCommand implements Callable<Integer> {
  private static final List<String> BASELINES =
      List.of("lstm", "gru", "gated_convolution:width=2", "long_convolution");

  @Option(
      names = {"-m", "--mixers"},
      paramLabel = "MIXER,…",
      description =
          "Mechanisms, lstm, gru, gated_convolution:width=W or long_convolution, each with options:"
              + " tiled+positions=rope. Every causal mechanism when absent.")
  private @Nullable String mixers;

  @Option(names = "--n", paramLabel = "N,…", description = "Lengths; 16..512 when absent.")
  private String lengths = "16..512";

  @Option(names = "--seeds", paramLabel = "K", description = "Random models; 3 when absent.")
  private int seeds = 3;

  @Option(names = "--words", paramLabel = "K", description = "Words of each length; 4 when absent.")
  private int words = 4;

  @Option(
      names = "--threads",
      paramLabel = "T",
      description = "Threads; all cores when absent. The numbers do not depend on it.")
  private int threads = Runtime.getRuntime().availableProcessors();

  @Option(
      names = {"-o", "--out"},
      paramLabel = "DIR",
      description = "Folder of influence.md, figures/ and csv/; crossover-influence when absent.")
  private Path folder = Path.of("crossover-influence");

  @Spec private @Nullable CommandSpec spec;

  @Override
  public Integer call() throws IOException, UsageException {
    CommandSpec self = Objects.requireNonNull(spec);
    PrintWriter out = self.commandLine().getOut();
    PrintWriter err = self.commandLine().getErr();
    if (seeds < 1 || words < 1 || threads < 1) {
      throw new IllegalArgumentException(
          "seeds, words and threads must be >= 1, but were "
              + seeds
              + ", "
              + words
              + " and "
              + threads);
    }
    List<Integer> wanted = Lists.lengths("n", lengths).stream().distinct().sorted().toList();
    if (wanted.getFirst() < 2) {
      throw new IllegalArgumentException("n must be >= 2, but was " + wanted.getFirst());
    }
    List<Influence> measured = new ArrayList<>();
    Map<String, String> refused = new LinkedHashMap<>();
    for (String mixer : mixers == null ? all() : Lists.specs(mixers)) {
      try {
        Influence one = Influence.of(mixer, wanted, seeds, words, threads);
        measured.add(one);
        err.println(mixer + "  " + words(one));
      } catch (UnsupportedOperationException | IllegalArgumentException e) {
        refused.put(mixer, String.valueOf(e.getMessage()));
        err.println(mixer + "  not measured: " + e.getMessage());
      }
    }
    if (measured.isEmpty()) {
      throw new UsageException("no mixer could be measured: " + refused);
    }
    Machine machine = Machine.current();
    Path page =
        InfluencePage.write(
            measured,
            refused,
            folder,
            TypedCommand.of(self),
            machine.cpu() + " · JDK " + machine.jdk() + " · commit " + Commit.current());
    out.println("influence: " + page.toAbsolutePath());
    out.flush();
    return 0;
  }

  private static String words(Influence one) {
    if (one.zeroFrom() > 0) {
      return "zero from n = " + one.zeroFrom();
    }
    Influence.Estimate slope = one.slope();
    if (Double.isNaN(slope.mean())) {
      return "within float32 rounding at all but two lengths";
    }
    if (Double.isNaN(slope.low())) {
      return String.format(Locale.ROOT, "slope %.2f, of one model", slope.mean());
    }
    return String.format(
        Locale.ROOT, "slope %.2f (%.2f to %.2f)", slope.mean(), slope.low(), slope.high());
  }

  private static List<String> all() {
    List<String> all = new ArrayList<>();
    Catalogue.all().stream()
        .filter(type -> type.defaults().capabilities().causal() != Causality.NEVER)
        .forEach(type -> all.add(type.name()));
    all.addAll(BASELINES);
    return all;
  }
}
