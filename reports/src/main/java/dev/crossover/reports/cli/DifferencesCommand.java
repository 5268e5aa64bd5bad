// SPDX-License-Identifier: Apache-2.0
package dev.crossover.reports.cli;

import dev.crossover.attention.mechanism.Mechanism;
import dev.crossover.attention.mechanism.MechanismType;
import dev.crossover.bench.error.OptionEffect;
import dev.crossover.variants.Catalogue;
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
import picocli.CommandLine.Spec;

/// `crossover differences`: where a paper and its authors' code differ, the options that select
/// either, and the measured effect, as Markdown.
@Command(
    name = "differences",
    description =
        "Print where papers and their authors' code differ, with the measured effect, as Markdown.",
    mixinStandardHelpOptions = true)
final class DifferencesCommand implements Callable<Integer> {
  @Mixin private JsonOption json = new JsonOption();

  @Spec private @Nullable CommandSpec spec;

  @Override
  public Integer call() {
    PrintWriter out = Objects.requireNonNull(spec).commandLine().getOut();
    json.print(out, DifferencesCommand::values, () -> tell(out));
    return 0;
  }

  private static void tell(PrintWriter out) {
    out.println("# Paper versus code");
    out.println();
    out.println("Where a paper and its authors' code differ, both behaviours exist under a named");
    out.println(
        "option. The effect is ‖paper − code‖ / ‖code‖ of the outputs on one seeded input:");
    out.printf(
        "queries, keys and values from N(0, 1), %s, seed %d. Written by `crossover differences`.%n",
        sizes(), OptionEffect.SEED);
    for (MechanismType type : Catalogue.all()) {
      if (type.mechanism().differences().length > 0) {
        describe(out, type);
      }
    }
  }

  private static List<Map<String, Object>> values() {
    List<Map<String, Object>> all = new ArrayList<>();
    for (MechanismType type : Catalogue.all()) {
      for (Mechanism.Difference difference : type.mechanism().differences()) {
        OptionEffect effect = OptionEffect.of(type, difference);
        Map<String, Object> one = new LinkedHashMap<>();
        one.put("mechanism", type.name());
        one.put("what", difference.what());
        one.put("paper", difference.paper());
        one.put("paperOption", difference.paperOption());
        one.put("code", difference.code());
        one.put("codeOption", difference.codeOption());
        one.put("default", difference.defaultIs());
        one.put("effect", effect.relative());
        one.put("mask", effect.mask());
        one.put("test", difference.test());
        all.add(one);
      }
    }
    return all;
  }

  private static String sizes() {
    var s = OptionEffect.SHAPE;
    return "batch %d, %d heads, n = %d, d = %d"
        .formatted(s.batchSize(), s.numHeads(), s.querySeqLen(), s.headDim());
  }

  private static void describe(PrintWriter out, MechanismType type) {
    out.println();
    out.println("## " + type.mechanism().title());
    for (Mechanism.Difference difference : type.mechanism().differences()) {
      OptionEffect effect = OptionEffect.of(type, difference);
      out.println();
      out.println("**" + sentence(difference.what()) + "**");
      out.println();
      out.println("- Paper: " + difference.paper() + " (" + option(type, difference.paperOption()));
      out.println("- Code: " + difference.code() + " (" + option(type, difference.codeOption()));
      out.println("- Default: " + difference.defaultIs() + ".");
      out.println("- Effect: %.1e relative, mask %s.".formatted(effect.relative(), effect.mask()));
      out.println("- Shown by `" + difference.test() + "`.");
    }
  }

  private static String option(MechanismType type, String option) {
    return "`" + (option.isEmpty() ? type.name() : type.name() + ":" + option) + "`).";
  }

  private static String sentence(String text) {
    return text.substring(0, 1).toUpperCase(Locale.ROOT) + text.substring(1) + ".";
  }
}
