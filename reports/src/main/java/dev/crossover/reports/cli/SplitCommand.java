// SPDX-License-Identifier: Apache-2.0
package dev.crossover.reports.cli;

import dev.crossover.bench.machine.Commit;
import dev.crossover.bench.machine.Machine;
import dev.crossover.bench.result.ResultRecord.Study;
import dev.crossover.bench.split.WorkSplit;
import dev.crossover.bench.sweep.Point;
import dev.crossover.bench.sweep.Problem;
import dev.crossover.variants.Catalogue;
import java.io.IOException;
import java.io.PrintWriter;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Objects;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

/// `crossover split`: how mechanisms' work would spread over more cores than this machine has.
@Command(
    name = "split",
    description = {
      "Time the tasks of one forward pass one by one, and simulate how 4 to 128 cores share them:"
          + " the longest thread over the mean, 1 where every core is busy to the end.",
      "It says how far the split of work goes; shared caches, bandwidth and clock are not in it."
    },
    mixinStandardHelpOptions = true,
    sortOptions = false)
final class SplitCommand implements Callable<Integer> {
  @Option(
      names = {"-m", "--mechanisms"},
      paramLabel = "SPEC,…",
      description = "Mechanisms as for sweep; all when absent.")
  private @Nullable String mechanisms;

  @Option(names = "--n", paramLabel = "N", description = "Sequence length; 8192 when absent.")
  private int n = 8192;

  @Option(names = "--heads", paramLabel = "H", description = "Heads; 8 when absent.")
  private int heads = 8;

  @Option(names = "--dim", paramLabel = "D", description = "Head width; 64 when absent.")
  private int dim = 64;

  @Option(names = "--batch", paramLabel = "B", description = "Sequences; 1 when absent.")
  private int batch = 1;

  @Option(
      names = "--causal",
      description = "Under the causal mask; without a mask when absent, where a mechanism can.")
  private boolean causal;

  @Option(
      names = "--cores",
      paramLabel = "C,…",
      description = "Numbers of cores; 4..128 when absent.")
  private String cores = "4..128";

  @Option(
      names = "--repetitions",
      paramLabel = "K",
      description = "The shortest time of each task of so many passes is kept; 8 when absent.")
  private int repetitions = 8;

  @Mixin private JsonOption json = new JsonOption();

  @Spec private @Nullable CommandSpec spec;

  @Override
  public Integer call() throws IOException, UsageException {
    CommandSpec self = Objects.requireNonNull(spec);
    PrintWriter out = self.commandLine().getOut();
    PrintWriter err = self.commandLine().getErr();
    if (repetitions < 1) {
      throw new IllegalArgumentException("repetitions must be >= 1, but was " + repetitions);
    }
    List<Integer> counts = Lists.lengths("cores", cores);
    List<String> specs =
        mechanisms == null
            ? Catalogue.all().stream().map(type -> type.name()).toList()
            : Lists.specs(mechanisms);
    Map<String, WorkSplit> splits = new LinkedHashMap<>();
    for (String one : specs) {
      Problem problem = problem(one);
      try {
        splits.put(one, WorkSplit.of(problem, repetitions));
        err.println(one + "  " + splits.get(one).tasks() + " tasks");
      } catch (IllegalArgumentException | UnsupportedOperationException e) {
        err.println(one + "  not timed: " + e.getMessage());
      }
    }
    if (splits.isEmpty()) {
      throw new UsageException("no mechanism could be timed");
    }
    if (json.wanted()) {
      out.println(Json.of(splits, counts));
    } else {
      out.print(table(splits, counts, TypedCommand.of(self)));
    }
    out.flush();
    return 0;
  }

  private Problem problem(String one) throws IOException {
    String mask = causal ? "causal" : "none";
    return Problem.of(new Point(Study.FORWARD, one, n, dim, heads, batch, mask, 1, "gaussian", 42));
  }

  private String table(Map<String, WorkSplit> splits, List<Integer> counts, String command) {
    StringBuilder text = new StringBuilder();
    Machine machine = Machine.current();
    text.append(
        String.format(
            Locale.ROOT,
            "n = %d, %d × %d heads of %d, mask %s. `%s`, %s, JDK %s, commit %s.%n%n",
            n,
            batch,
            heads,
            dim,
            causal ? "causal" : "none where a mechanism can",
            command,
            machine.cpu(),
            machine.jdk(),
            Commit.current()));
    List<String> head = new ArrayList<>(List.of("mechanism", "tasks", "in no task"));
    counts.forEach(count -> head.add(count + " cores"));
    text.append("| ").append(String.join(" | ", head)).append(" |\n");
    text.append("|---".repeat(head.size())).append("|\n");
    splits.forEach(
        (name, split) -> {
          List<String> row = new ArrayList<>();
          row.add("`" + name + "`");
          row.add(Integer.toString(split.tasks()));
          row.add(String.format(Locale.ROOT, "%.1f %%", 100 * split.serialShare()));
          for (int count : counts) {
            row.add(String.format(Locale.ROOT, "%.2f", split.longestOverMean(count)));
          }
          text.append("| ").append(String.join(" | ", row)).append(" |\n");
        });
    return text.toString();
  }
}
