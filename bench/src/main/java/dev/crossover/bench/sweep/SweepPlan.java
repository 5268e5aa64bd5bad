// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.sweep;

import dev.crossover.bench.sweep.Sweep.Effort;
import java.util.ArrayList;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Set;

/// One or more sweeps measured as one: the union of their points, with one effort, and a share of
/// them.
///
/// @param parts what to measure; the effort and share of a part count for nothing
/// @param effort how often and how long each point is measured
/// @param shard which share of the mechanisms, from 0
/// @param shards number of shares
/// @param alone whether every point has forks of its own; if not, a fork measures all lengths of a
///     mechanism
public record SweepPlan(List<Sweep> parts, Effort effort, int shard, int shards, boolean alone) {

  /// Checks the share.
  ///
  /// @throws IllegalArgumentException if there is no part or no such share
  public SweepPlan {
    parts = List.copyOf(parts);
    if (parts.isEmpty()) {
      throw new IllegalArgumentException("parts must hold a sweep, but were none");
    }
    if (shards < 1 || shard < 0 || shard >= shards) {
      throw new IllegalArgumentException(
          "shard must be from 1/N to N/N, but was " + (shard + 1) + "/" + shards);
    }
  }

  /// A plan in whose forks lengths share a process.
  public SweepPlan(List<Sweep> parts, Effort effort, int shard, int shards) {
    this(parts, effort, shard, shards, false);
  }

  /// A single sweep, with its effort and share.
  public static SweepPlan of(Sweep sweep) {
    return new SweepPlan(List.of(sweep), sweep.effort(), sweep.shard(), sweep.shards());
  }

  /// The points of this share, in a fixed order, each once.
  ///
  /// A mechanism with its setting belongs to one share with all its points: a curve whose points
  /// were measured on several machines would compare the machines.
  public List<Point> points() {
    Set<Point> all = new LinkedHashSet<>();
    for (Sweep part : parts) {
      all.addAll(part.allPoints());
    }
    List<String> mechanisms = all.stream().map(Point::spec).distinct().toList();
    List<Point> ours = new ArrayList<>();
    for (Point point : all) {
      if (mechanisms.indexOf(point.spec()) % shards == shard) {
        ours.add(point);
      }
    }
    return List.copyOf(ours);
  }

  /// Labels of all inputs, each once.
  public List<String> inputs() {
    return parts.stream().flatMap(part -> part.inputs().stream()).distinct().toList();
  }
}
