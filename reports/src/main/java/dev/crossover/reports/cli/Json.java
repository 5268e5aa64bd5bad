// SPDX-License-Identifier: Apache-2.0
package dev.crossover.reports.cli;

import dev.crossover.attention.mechanism.Mechanism;
import dev.crossover.attention.mechanism.MechanismType;
import dev.crossover.bench.result.RecordJson;
import dev.crossover.bench.split.WorkSplit;
import dev.crossover.models.task.Tasks;
import dev.crossover.reports.answer.Advice;
import dev.crossover.reports.answer.Advice.Candidate;
import dev.crossover.reports.answer.Claim;
import dev.crossover.reports.answer.ClaimReplay;
import dev.crossover.reports.answer.Crossover;
import dev.crossover.reports.answer.FittedLines;
import dev.crossover.reports.answer.Metric;
import dev.crossover.reports.answer.Panel;
import dev.crossover.reports.answer.Point;
import dev.crossover.reports.answer.QualityAdvice;
import dev.crossover.reports.answer.Ratio;
import dev.crossover.reports.answer.Regressions;
import dev.crossover.reports.answer.Regressions.Change;
import dev.crossover.reports.answer.StudyView;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;

/// Answers as JSON on one line, names as in result records; what is not known is null.
final class Json {
  private Json() {}

  /// Simulated splits of work.
  ///
  /// @param splits by the mechanism's spec
  /// @param counts numbers of cores
  static String of(Map<String, WorkSplit> splits, List<Integer> counts) {
    List<Object> all = new ArrayList<>();
    splits.forEach(
        (name, split) -> {
          Map<String, @Nullable Object> fields = new LinkedHashMap<>();
          fields.put("spec", name);
          fields.put("tasks", split.tasks());
          fields.put("seconds", split.seconds());
          fields.put("serialShare", split.serialShare());
          List<Object> cores = new ArrayList<>();
          for (int count : counts) {
            cores.add(
                Map.of(
                    "cores",
                    count,
                    "longestOverMean",
                    split.longestOverMean(count),
                    "speedUp",
                    split.speedUp(count)));
          }
          fields.put("cores", cores);
          all.add(fields);
        });
    return RecordJson.write(all);
  }

  /// An advice.
  ///
  /// @param advice the advice
  /// @param errorSource where its errors are from
  /// @param notes what to know besides the advice's own notes
  static String of(Advice advice, String errorSource, List<String> notes) {
    Map<String, @Nullable Object> all = new LinkedHashMap<>();
    Advice.Question question = advice.question();
    all.put("n", question.n());
    all.put("causal", question.causal());
    all.put("maxError", question.maxError());
    all.put("answered", advice.answered());
    String exact = advice.answered() ? advice.exact() : null;
    all.put("use", advice.best().map(Candidate::spec).orElse(exact));
    all.put("exact", exact);
    all.put("best", candidate(advice.best()));
    all.put("runnerUp", candidate(advice.runnerUp()));
    all.put("nearestMiss", advice.best().isPresent() ? null : candidate(advice.nearestMiss()));
    all.put("lengths", advice.lengths());
    all.put("errorSource", errorSource);
    all.put("records", advice.panel().map(Json::panel).orElse(null));
    List<Object> others = new ArrayList<>();
    advice.eligible().forEach(c -> others.add(fields(c)));
    advice.rejected().forEach(c -> others.add(fields(c)));
    all.put("mechanisms", others);
    List<String> told = new ArrayList<>(advice.notes());
    told.addAll(notes);
    all.put("notes", told);
    return RecordJson.write(all);
  }

  /// An advice by what models learned.
  static String of(QualityAdvice advice) {
    Map<String, @Nullable Object> all = new LinkedHashMap<>();
    all.put("task", advice.task());
    all.put("minAccuracy", advice.minAccuracy());
    all.put("n", advice.question().n());
    all.put("causal", advice.question().causal());
    all.put("answered", advice.use().isPresent());
    all.put("use", advice.use().orElse(null));
    all.put("exact", advice.exact().spec());
    all.put("exactAccuracy", number(advice.exact().accuracy()));
    all.put("records", advice.panel().map(Json::panel).orElse(null));
    List<Object> mixers = new ArrayList<>();
    Stream.concat(advice.eligible().stream(), advice.rejected().stream())
        .forEach(
            c -> {
              int trained = Tasks.parse(advice.task()).positions();
              Map<String, @Nullable Object> fields = new LinkedHashMap<>();
              fields.put("mixer", c.row().mixer());
              fields.put("accuracy", number(c.row().accuracy(trained)));
              fields.put("accuracyLow", number(c.row().low(trained)));
              fields.put("accuracyHigh", number(c.row().high(trained)));
              fields.put("seeds", c.row().accuracies(trained).length);
              fields.put("stateBytes", number(c.row().stateBytes()));
              fields.put("n", c.n() == 0 ? null : c.n());
              fields.put("seconds", number(c.seconds()));
              fields.put("speedUp", ratio(c.speedUp()));
              fields.put("objection", c.objection());
              mixers.add(fields);
            });
    all.put("mixers", mixers);
    all.put("notes", advice.notes());
    return RecordJson.write(all);
  }

  /// A comparison.
  static String of(Regressions result) {
    Map<String, @Nullable Object> all = new LinkedHashMap<>();
    all.put("alpha", result.alpha());
    all.put("minEffect", result.leastEffect());
    all.put("smallestP", number(result.smallestP()));
    Map<String, Object> counts = new LinkedHashMap<>();
    for (Regressions.Verdict verdict : Regressions.Verdict.values()) {
      counts.put(token(verdict), result.count(verdict));
    }
    all.put("counts", counts);
    List<Object> changes = new ArrayList<>();
    for (Change change : result.changes()) {
      Map<String, @Nullable Object> fields = new LinkedHashMap<>();
      fields.put("verdict", token(change.verdict()));
      fields.put("study", token(change.record().study()));
      fields.put("spec", change.record().spec());
      fields.put("shape", change.record().shape());
      fields.put("mask", change.record().mask());
      fields.put("input", change.record().input().source());
      fields.put("threads", change.record().threads());
      fields.put("time", ratio(change.time()));
      fields.put("p", number(change.p()));
      fields.put("reason", change.reason());
      fields.put("before", metrics(change.before()));
      fields.put("after", metrics(change.after()));
      changes.add(fields);
    }
    all.put("changes", changes);
    return RecordJson.write(all);
  }

  /// Verdicts on claims.
  static String of(ClaimReplay replay) {
    Map<String, @Nullable Object> all = new LinkedHashMap<>();
    Map<String, Object> counts = new LinkedHashMap<>();
    for (Claim.Verdict verdict : Claim.Verdict.values()) {
      counts.put(token(verdict), replay.count(verdict));
    }
    all.put("counts", counts);
    List<Object> claims = new ArrayList<>();
    for (ClaimReplay.Result result : replay.results()) {
      Claim claim = result.claim();
      Map<String, @Nullable Object> fields = new LinkedHashMap<>();
      fields.put("verdict", token(result.outcome().verdict()));
      fields.put("statement", claim.statement());
      fields.put("paper", claim.paper());
      fields.put("arxiv", claim.arxiv());
      fields.put("where", claim.where());
      fields.put("theirs", claim.theirs());
      fields.put("own", result.outcome().own());
      fields.put("why", result.why());
      fields.put("rule", claim.rule().words());
      fields.put("measured", result.measured());
      claims.add(fields);
    }
    all.put("claims", claims);
    List<Object> fitted = new ArrayList<>();
    for (FittedLines one : replay.fitted()) {
      Map<String, @Nullable Object> fields = new LinkedHashMap<>();
      fields.put("spec", one.spec());
      fields.put("published", one.published());
      fields.put("fitted", number(one.fitted()));
      fields.put("interpolated", crossover(one.interpolated()));
      fitted.add(fields);
    }
    all.put("fittedLines", fitted);
    return RecordJson.write(all);
  }

  /// Mechanisms.
  static String of(List<MechanismType> types) {
    List<Object> all = new ArrayList<>();
    for (MechanismType type : types) {
      Mechanism m = type.mechanism();
      Map<String, @Nullable Object> fields = new LinkedHashMap<>();
      fields.put("name", type.name());
      fields.put("title", m.title());
      fields.put("paper", m.paper());
      fields.put("arxiv", m.arxiv());
      fields.put("family", token(m.family()));
      fields.put("approximates", token(m.approximates()));
      fields.put("time", m.time());
      fields.put("memory", m.memory());
      fields.put("exponent", number(m.exponent()));
      fields.put("exactness", m.exactness());
      fields.put("limitedBy", m.bound());
      fields.put("can", ListCommand.abilities(type));
      fields.put("parameters", Catalogues.parameters(type.parameters()));
      all.add(fields);
    }
    return RecordJson.write(all);
  }

  /// Every metric of a point that it has, by key; null without a point.
  private static @Nullable Object metrics(@Nullable Point point) {
    if (point == null) {
      return null;
    }
    Map<String, Object> values = new LinkedHashMap<>();
    for (Metric metric : StudyView.of(point.first().study()).metrics()) {
      Double value = number(metric.of(point));
      if (value != null) {
        values.put(metric.key(), value);
      }
    }
    return values;
  }

  private static @Nullable Object candidate(Optional<Candidate> candidate) {
    return candidate.map(Json::fields).orElse(null);
  }

  private static Map<String, @Nullable Object> fields(Candidate c) {
    Map<String, @Nullable Object> fields = new LinkedHashMap<>();
    fields.put("spec", c.spec());
    fields.put("n", c.n() == 0 ? null : c.n());
    fields.put("seconds", number(c.seconds()));
    fields.put("exactSeconds", number(c.exactSeconds()));
    fields.put("speedUp", ratio(c.speedUp()));
    fields.put("error", number(c.error()));
    fields.put("countedBytes", number(c.bytes()));
    fields.put("objection", c.objection());
    return fields;
  }

  private static Map<String, @Nullable Object> panel(Panel panel) {
    Map<String, @Nullable Object> fields = new LinkedHashMap<>();
    fields.put("mask", panel.key().mask());
    fields.put("input", panel.key().input());
    fields.put("batch", panel.key().batch());
    fields.put("heads", panel.key().heads());
    fields.put("headDim", panel.key().headDim());
    fields.put("threads", panel.key().threads());
    fields.put("cpu", panel.environment().cpu());
    fields.put("commit", panel.environment().commit());
    return fields;
  }

  private static @Nullable Object ratio(Ratio ratio) {
    if (Double.isNaN(ratio.value())) {
      return null;
    }
    Map<String, @Nullable Object> fields = new LinkedHashMap<>();
    fields.put("value", ratio.value());
    fields.put("low", number(ratio.low()));
    fields.put("high", number(ratio.high()));
    return fields;
  }

  /// A crossover; `low` 0 is open below the smallest length, `high` null with `openHigh` above the
  /// largest.
  private static Map<String, @Nullable Object> crossover(Crossover crossover) {
    Map<String, @Nullable Object> fields = new LinkedHashMap<>();
    fields.put("kind", token(crossover.kind()));
    fields.put("n", number(crossover.n()));
    fields.put("low", number(crossover.low()));
    fields.put("high", number(crossover.high()));
    fields.put("openHigh", Double.isInfinite(crossover.high()));
    fields.put("smallest", crossover.smallest());
    fields.put("largest", crossover.largest());
    return fields;
  }

  private static @Nullable Double number(double value) {
    return Double.isFinite(value) ? value : null;
  }

  private static String token(Enum<?> value) {
    return value.name().toLowerCase(Locale.ROOT);
  }
}
