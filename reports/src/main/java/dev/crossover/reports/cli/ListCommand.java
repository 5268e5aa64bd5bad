// SPDX-License-Identifier: Apache-2.0
package dev.crossover.reports.cli;

import dev.crossover.attention.Attention;
import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.Capabilities;
import dev.crossover.attention.Capabilities.Causality;
import dev.crossover.attention.Capabilities.Padding;
import dev.crossover.attention.TensorSpec;
import dev.crossover.attention.mechanism.Mechanism;
import dev.crossover.attention.mechanism.MechanismType;
import dev.crossover.attention.mechanism.RecordType;
import dev.crossover.attention.store.CachePolicies;
import dev.crossover.attention.store.CachingAttention;
import dev.crossover.attention.store.CachingAttention.Caching;
import dev.crossover.attention.store.Storage;
import dev.crossover.models.layer.LayerCatalogue;
import dev.crossover.variants.Catalogue;
import java.io.PrintWriter;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Objects;
import java.util.concurrent.Callable;
import java.util.stream.Collectors;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.Spec;

/// `crossover list`: what every mechanism is, takes and can do, as its record declares it.
@Command(
    name = "list",
    description =
        "Describe the mechanisms: paper, parameters with defaults, capabilities, exactness; or"
            + " inputs, tasks, layers, metrics, studies.",
    mixinStandardHelpOptions = true,
    sortOptions = false)
final class ListCommand implements Callable<Integer> {
  @Parameters(
      paramLabel = "NAME",
      description =
          "Mechanisms to describe, all when none is given; or one of inputs, tasks, metrics,"
              + " studies.")
  private List<String> names = new ArrayList<>();

  @Option(names = "--markdown", description = "Print the table of the README instead.")
  private boolean markdown;

  @Mixin private JsonOption json = new JsonOption();

  @Spec private @Nullable CommandSpec spec;

  @Override
  public Integer call() {
    PrintWriter out = Objects.requireNonNull(spec).commandLine().getOut();
    if (names.size() == 1 && Catalogues.names().contains(names.getFirst())) {
      List<Map<String, Object>> entries = Catalogues.of(names.getFirst());
      json.print(out, () -> entries, () -> Catalogues.print(out, entries));
      return 0;
    }
    List<MechanismType> types =
        names.isEmpty() ? Catalogue.all() : names.stream().map(ListCommand::find).toList();
    if (json.wanted()) {
      out.println(Json.of(types));
    } else if (markdown) {
      table(out, types);
    } else {
      types.forEach(type -> describe(out, type));
    }
    out.flush();
    return 0;
  }

  /// A mechanism by its name, a layer that is none between projections by `layer/NAME`.
  private static MechanismType find(String name) {
    return LayerCatalogue.namedOf(name).orElseGet(() -> Catalogue.find(name));
  }

  private static void describe(PrintWriter out, MechanismType type) {
    Mechanism m = type.mechanism();
    out.println(type.name() + " — " + m.title());
    out.println("  paper      " + m.paper() + arxiv(m));
    out.println("  family     " + words(m.family()) + "; approximates " + target(m));
    out.println("  cost       time " + m.time() + ", memory " + m.memory());
    out.println("  exactness  " + m.exactness());
    if (!m.bound().isEmpty()) {
      out.println("  limited by " + m.bound());
    }
    out.println("  can        " + String.join(", ", abilities(type)));
    if (!m.padding().isEmpty()) {
      out.println("  padding    a padded position " + m.padding());
    }
    if (!m.decoding().isEmpty()) {
      out.println("  decoding   " + m.decoding());
    }
    for (RecordType.ParameterInfo parameter : type.parameters()) {
      String value = parameter.defaultValue().isEmpty() ? "(absent)" : parameter.defaultValue();
      out.println("  parameter  " + parameter.name() + " = " + value + ": " + parameter.meaning());
      if (!parameter.values().isEmpty()) {
        out.println("             one of " + String.join(", ", parameter.values()));
      }
    }
    if (type.defaults() instanceof CachingAttention attention) {
      out.println("  parameter  store = f32: how decoding stores keys and values");
      boolean any = attention.caching() != Caching.REWRITTEN;
      List<String> stores =
          Storage.names().stream().filter(name -> any || !name.endsWith("grouped")).toList();
      out.println("             one of " + String.join(", ", stores));
      if (attention.caching() == Caching.COMPRESSED) {
        out.println("  parameter  cache = (absent): which positions decoding keeps");
        String policies =
            CachePolicies.all().stream().map(RecordType::name).collect(Collectors.joining(", "));
        out.println("             one of " + policies + ", with their own parameters");
      }
    }
    for (String branch : m.gatedBranches()) {
      out.println("  branch     " + branch + ", off with a gate_" + branch + " of zero");
    }
    for (RecordType.BranchInfo branch : type.branches()) {
      out.println(
          "  branch     "
              + branch.name()
              + ", off with "
              + branch.parameter()
              + "="
              + branch.off());
    }
    tensors(out, type.defaults());
    for (Mechanism.Difference difference : m.differences()) {
      out.println(
          "  differs    "
              + difference.what()
              + ": paper: "
              + difference.paper()
              + "; code: "
              + difference.code()
              + "; default: "
              + difference.defaultIs());
    }
    out.println();
  }

  /// The tensors of a mechanism with its defaults, by the names of their axes.
  private static void tensors(PrintWriter out, Attention attention) {
    AttentionShape shape = AttentionShape.of(1, 2, 64, 64);
    List<TensorSpec> specs = new ArrayList<>(attention.inputs(shape));
    specs.addAll(attention.results(shape));
    for (TensorSpec spec : specs) {
      String role =
          switch (spec.role()) {
            case INPUT -> "reads     ";
            case PARAMETER -> "draws     ";
            case OPTIONAL -> "may read  ";
            case RESULT -> "may write ";
          };
      out.println("  " + role + " " + spec.name() + " " + spec.axes() + ": " + spec.meaning());
    }
    out.println("  writes     out " + attention.outputAxes());
  }

  private static void table(PrintWriter out, List<MechanismType> types) {
    out.println("| mechanism | paper | time | memory | can | exact when, or error |");
    out.println("|---|---|---|---|---|---|");
    for (MechanismType type : types) {
      Mechanism m = type.mechanism();
      out.println(
          "| `"
              + type.name()
              + "` "
              + cell(m.title())
              + " | "
              + cell(m.paper() + arxiv(m))
              + " | "
              + cell(m.time())
              + " | "
              + cell(m.memory())
              + " | "
              + cell(String.join(", ", abilities(type)))
              + " | "
              + cell(m.exactness())
              + " |");
    }
  }

  static List<String> abilities(MechanismType type) {
    Capabilities can = type.defaults().capabilities();
    List<String> abilities = new ArrayList<>();
    abilities.add(
        switch (can.causal()) {
          case Causality.NEVER -> "not causal";
          case Causality.OPTIONAL -> "causal or not";
          case Causality.ALWAYS -> "causal only";
        });
    if (can.keyPadding() != Padding.NONE) {
      abilities.add(can.keyPadding() == Padding.ANY ? "key padding" : "key padding at the end");
    }
    add(abilities, can.crossAttention(), "cross-attention");
    add(abilities, can.groupedQueries(), "grouped queries");
    add(abilities, can.valueDim(), "value width of its own");
    add(abilities, can.decoding(), "decoding");
    add(abilities, can.gradients(), "gradients");
    return abilities;
  }

  private static void add(List<String> abilities, boolean can, String what) {
    if (can) {
      abilities.add(what);
    }
  }

  private static String target(Mechanism mechanism) {
    return switch (mechanism.approximates()) {
      case EXACT -> "nothing, it is softmax attention";
      case SOFTMAX -> mechanism.target().isEmpty() ? "softmax attention" : mechanism.target();
      case NONE -> "nothing";
    };
  }

  private static String arxiv(Mechanism mechanism) {
    return mechanism.arxiv().isEmpty() ? "" : ", arXiv:" + mechanism.arxiv();
  }

  private static String words(Enum<?> value) {
    return value.name().toLowerCase(Locale.ROOT).replace('_', '-');
  }

  private static String cell(String text) {
    return text.replace("|", "\\|");
  }
}
