// SPDX-License-Identifier: Apache-2.0
package dev.crossover.variants;

import dev.crossover.attention.Attention;
import dev.crossover.attention.mechanism.MechanismType;
import dev.crossover.attention.mechanism.RecordType;
import dev.crossover.attention.mechanism.RecordType.BranchInfo;
import dev.crossover.attention.store.CacheOptions;
import dev.crossover.attention.store.CachePolicies;
import dev.crossover.attention.store.CachePolicy;
import dev.crossover.attention.store.Cached;
import dev.crossover.attention.store.CachingAttention;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Collectors;

/// The branches of mechanisms: local, chosen, sampled or sink keys that are attended to beside
/// others, as mechanisms and policies of caches declare them.
///
/// @see dev.crossover.attention.mechanism.Branch
/// @see dev.crossover.attention.mechanism.Mechanism#gatedBranches
public final class Branches {
  private static final String GATE = "gate_";

  private Branches() {}

  /// A mechanism of which one branch is switched off.
  ///
  /// @param spec the mechanism, as on the command line
  /// @param zeroInput the input that has to be zero; empty where the text says it all
  public record Without(String spec, String zeroInput) {}

  /// The branches of a mechanism that are on.
  ///
  /// @param spec `name` or `name:param=value,…`
  /// @throws IllegalArgumentException naming what is unknown or breaks a rule
  public static List<String> of(String spec) {
    Attention attention = Catalogue.parse(spec);
    MechanismType type = Catalogue.find(attention.name());
    List<String> names = new ArrayList<>(List.of(type.mechanism().gatedBranches()));
    switched(attention).forEach(branch -> names.add(branch.name()));
    return List.copyOf(names);
  }

  /// A mechanism without one of its branches.
  ///
  /// @param spec `name` or `name:param=value,…`
  /// @param branch one of [#of]
  /// @throws IllegalArgumentException if there is no such branch, or it is off already, by name
  public static Without without(String spec, String branch) {
    List<String> on = of(spec);
    if (!on.contains(branch)) {
      throw new IllegalArgumentException(
          "off must be "
              + (on.isEmpty() ? "absent where no branch is on" : "one of the branches " + on)
              + ", but was "
              + branch
              + " for "
              + spec);
    }
    Attention attention = Catalogue.parse(spec);
    for (BranchInfo info : switched(attention)) {
      if (info.name().equals(branch)) {
        Map<String, String> values = new LinkedHashMap<>(Catalogue.values(spec));
        values.put(info.parameter(), info.off());
        String pairs =
            values.entrySet().stream()
                .map(entry -> entry.getKey() + "=" + entry.getValue())
                .collect(Collectors.joining(","));
        return new Without(attention.name() + ":" + pairs, "");
      }
    }
    return new Without(spec, GATE + branch);
  }

  /// The branches that parameters switch off and that are on: the mechanism's and its policy's.
  private static List<BranchInfo> switched(Attention attention) {
    MechanismType type = Catalogue.find(attention.name());
    if (!(attention instanceof Cached(CachingAttention core, CacheOptions cache))) {
      return on(type.branches(), type.parametersOf(attention));
    }
    List<BranchInfo> branches = new ArrayList<>(on(type.branches(), type.parametersOf(core)));
    CachePolicy policy = cache.policy();
    if (policy != null) {
      for (RecordType<CachePolicy> one : CachePolicies.all()) {
        if (one.type() == policy.getClass()) {
          branches.addAll(on(one.branches(), one.parametersOf(policy)));
        }
      }
    }
    return branches;
  }

  private static List<BranchInfo> on(List<BranchInfo> branches, Map<String, String> values) {
    return branches.stream()
        .filter(branch -> !branch.off().equals(values.get(branch.parameter())))
        .toList();
  }
}
