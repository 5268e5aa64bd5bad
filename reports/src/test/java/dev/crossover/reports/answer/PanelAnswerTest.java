// SPDX-License-Identifier: Apache-2.0
package dev.crossover.reports.answer;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.crossover.attention.mechanism.Mechanism.Approximates;
import dev.crossover.bench.result.ResultRecord;
import dev.crossover.bench.result.ResultRecord.Status;
import dev.crossover.bench.result.ResultRecord.Study;
import dev.crossover.reports.answer.PanelAnswer.SeriesAnswer;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.Collectors;
import org.junit.jupiter.api.Test;

class PanelAnswerTest {

  @Test
  void masksStudiesAndMachinesAreKeptApart() {
    List<ResultRecord> records = new ArrayList<>(SyntheticStudy.records(1));
    int panels = Panel.of(records).size();
    assertEquals(3, panels);
    ResultRecord elsewhere =
        Records.on(records.getFirst(), Records.environment("Another CPU @ 3.1 GHz"));
    records.add(elsewhere);
    List<Panel> all = Panel.of(records);
    assertEquals(4, all.size());
    for (Panel panel : all) {
      assertEquals(
          1,
          panel.series().stream()
              .flatMap(s -> s.points().stream())
              .flatMap(p -> p.records().stream())
              .map(r -> r.environment().key() + r.mask() + r.study())
              .distinct()
              .count());
    }
  }

  @Test
  void skippedPointsAreKeptAsMissing() {
    Panel panel = panel("causal");
    assertEquals(1, panel.missing().size());
    assertEquals(Status.SKIPPED, panel.missing().getFirst().status());
    assertTrue(panel.baseline("materialised").orElseThrow().at(8192).isEmpty());
  }

  @Test
  void seedsOfOneSettingArePooled() {
    ResultRecord a = point(0.1, 1);
    ResultRecord b = point(0.3, 2);
    Point point = new Point(256, List.of(a, b));
    assertEquals(6, point.forkMedians().size());
    assertEquals(0.2, point.error(), 1e-12);
    assertEquals(0.1, point.errorLow());
    assertEquals(0.3, point.errorHigh());
  }

  private static ResultRecord point(double error, long seed) {
    return Records.point(
        Study.FORWARD,
        "performer",
        Approximates.SOFTMAX,
        "none",
        256,
        1e-3,
        100,
        error,
        3,
        0.01,
        Curves.random(seed));
  }

  @Test
  void settingsSortAsNumbers() {
    List<String> specs = panel("causal").series().stream().map(Series::spec).toList();
    int narrow = specs.indexOf("longformer:window=64");
    int wide = specs.indexOf("longformer:window=256");
    assertTrue(narrow < wide, specs.toString());
  }

  /// The synthetic window costs 3e-5 + 8e-6 n, tiled 3e-5 + 2e-7 n + 2.25e-9 n² with causal order:
  /// equal at n = 7.8e-6 / 2.25e-9 = 3467.
  @Test
  void crossoverOfThePanelHoldsTheKnownLength() {
    Crossover crossover = answerOf("longformer:window=256").time().get("tiled");
    assertEquals(Crossover.Kind.REACHED, crossover.kind());
    assertEquals(3467, crossover.n(), 0.06 * 3467);
    assertTrue(crossover.low() < 3467 * 1.03 && 3467 * 0.97 < crossover.high());
  }

  @Test
  void baselineHasNoCrossoverWithItself() {
    SeriesAnswer tiled = answerOf("tiled");
    assertFalse(tiled.time().containsKey("tiled"));
    assertTrue(tiled.time().containsKey("materialised"));
  }

  @Test
  void mechanismThatApproximatesNothingHasNoErrorAndIsOnNoFront() {
    PanelAnswer answer = PanelAnswer.of(panel("causal"));
    SeriesAnswer linear = answerOf("linear_transformer");
    assertTrue(linear.errorFrom(0).isEmpty());
    assertFalse(
        answer.front(4096, Point::seconds).stream()
            .anyMatch(s -> s.spec().equals("linear_transformer")));
  }

  @Test
  void headlinesNameGainsErrorsAndRefusals() {
    PanelAnswer answer = PanelAnswer.of(panel("causal"));
    Headlines headlines = Headlines.of(answer);
    String all = lead(headlines) + "\n" + sentences(headlines);
    assertTrue(
        all.matches(
            "(?s).*ongformer.{0,20}window=256 is faster than tiled exact attention from"
                + " n = 3,[2-7]\\d0 \\(3,\\d{3}–3,\\d{3}\\), at 0\\.\\d+(–0\\.\\d+)? % error\\..*"),
        all);
    assertTrue(all.contains("Not faster than tiled exact attention by n = 8,192"), all);
    assertTrue(all.contains("so that no error applies"), all);
  }

  @Test
  void everyGainInAHeadlineCarriesAnErrorOrTheReasonForNone() {
    int gains = 0;
    for (Panel panel : Panel.of(SyntheticStudy.records(2))) {
      for (Headlines.Finding finding : Headlines.of(PanelAnswer.of(panel)).findings()) {
        String sentence = finding.sentence();
        if (sentence.contains(" is faster than ") || sentence.startsWith("Faster")) {
          gains++;
          assertTrue(sentence.contains("error") || sentence.contains("exact"), sentence);
        }
      }
    }
    assertTrue(gains > 5, "gains " + gains);
  }

  @Test
  void errorThatGrowsTooLargeIsSaidWithItsLength() {
    List<ResultRecord> records = new ArrayList<>();
    for (int n : new int[] {256, 512, 1024, 2048}) {
      double share = n / 2048.0;
      records.add(forward("tiled", Approximates.EXACT, n, 1e-3 * share * share, 1e-7));
      records.add(forward("longformer", Approximates.SOFTMAX, n, 1e-5 * share, 0.15 * share));
    }
    Headlines headlines = Headlines.of(PanelAnswer.of(Panel.of(records).getFirst()));
    assertTrue(
        lead(headlines).endsWith("Longformer is the last to exceed 10 %, from n = 2,048."),
        lead(headlines));
    String gain = headlines.findings().getFirst().sentence();
    assertTrue(gain.endsWith("at 1.9–15 % error, more than 10 % from n = 2,048."), gain);
  }

  @Test
  void smallErrorAgainstAnotherSoftmaxIsNotAmongTheGains() {
    List<ResultRecord> records = new ArrayList<>();
    for (int n : new int[] {256, 512, 1024, 2048}) {
      double share = n / 2048.0;
      records.add(forward("tiled", Approximates.EXACT, n, 1e-3 * share * share, 1e-7));
      records.add(forward("rfa", Approximates.SOFTMAX, n, 1e-5 * share, 0.02));
    }
    Headlines headlines = Headlines.of(PanelAnswer.of(Panel.of(records).getFirst()));
    assertTrue(
        lead(headlines).contains("with at most 10 % error against softmax over the given queries"),
        lead(headlines));
    assertEquals("", headlines.findings().getFirst().subject());
    assertTrue(
        sentences(headlines).contains("2.0 % error against softmax over queries and keys of unit"),
        sentences(headlines));
  }

  private static ResultRecord forward(
      String spec, Approximates approximates, int n, double seconds, double error) {
    return Records.point(
        Study.FORWARD,
        spec,
        approximates,
        "causal",
        n,
        seconds,
        100,
        error,
        3,
        0.001,
        Curves.random(n));
  }

  @Test
  void gainsWithLargeErrorsAreNotListedAmongTheUsableOnes() {
    Headlines headlines = Headlines.of(PanelAnswer.of(panel("causal")));
    assertTrue(headlines.findings().stream().noneMatch(f -> f.subject().contains("erformer")));
    assertTrue(sentences(headlines).contains("Faster, but with more than 10 % error: "));
  }

  /// Three lines that read at once: none is longer than two of a narrow page.
  @Test
  void headlinesAreThreeShortLinesAtMost() {
    for (Panel panel : Panel.of(SyntheticStudy.records(2))) {
      List<String> lines = Headlines.of(PanelAnswer.of(panel)).lines();
      assertTrue(!lines.isEmpty() && lines.size() <= 3, lines.toString());
      for (String line : lines) {
        assertTrue(line.length() <= 140, line.length() + ": " + line);
        assertTrue(line.endsWith("."), line);
      }
    }
  }

  @Test
  void firstHeadlineNamesTheCrossingAndTheLastTheGainWithItsError() {
    List<String> lines = Headlines.of(PanelAnswer.of(panel("causal"))).lines();
    assertTrue(
        lines
            .getFirst()
            .matches("Longformer, window=64 beats tiled exact attention from n = 1,\\d+.*error\\."),
        lines.getFirst());
    assertTrue(
        lines
            .getLast()
            .matches(
                "Fastest of those there: .*window=64, 6\\.\\d+ \\(.*\\) times, at 6\\.0 %"
                    + " error\\."),
        lines.getLast());
  }

  private static String lead(Headlines headlines) {
    return String.join(" ", headlines.lines());
  }

  private static String sentences(Headlines headlines) {
    return headlines.findings().stream()
        .map(Headlines.Finding::sentence)
        .collect(Collectors.joining("\n"));
  }

  @Test
  void decodingComparesContextsAndState() {
    Panel decode =
        Panel.of(SyntheticStudy.records(1)).stream()
            .filter(Panel::decoding)
            .findFirst()
            .orElseThrow();
    Headlines headlines = Headlines.of(PanelAnswer.of(decode));
    String all = lead(headlines) + sentences(headlines);
    assertTrue(all.contains("with a key/value cache"), all);
    assertTrue(all.contains("State at context 8,192"), all);
  }

  @Test
  void errorThatWasNotMeasuredIsNotCalledLarge() {
    List<ResultRecord> decoding =
        SyntheticStudy.records(1).stream().filter(r -> r.study() == Study.DECODE).toList();
    Headlines headlines = Headlines.of(PanelAnswer.of(Panel.of(decoding).getFirst()));
    String all = lead(headlines) + sentences(headlines);
    assertTrue(lead(headlines).contains("the error of none of them was measured"), all);
    assertTrue(all.contains("an error that was not measured here: Longformer"), all);
    assertFalse(all.contains("more than 10 % error"), all);
  }

  @Test
  void decodingTakesTheErrorOfTheCausalForwardPass() {
    Panel decode =
        Panel.of(SyntheticStudy.records(1)).stream()
            .filter(Panel::decoding)
            .findFirst()
            .orElseThrow();
    for (Series series : decode.series()) {
      for (Point point : series.points()) {
        double forward =
            panel("causal").series().stream()
                .filter(s -> s.spec().equals(series.spec()))
                .findFirst()
                .flatMap(s -> s.at(point.n()))
                .orElseThrow()
                .error();
        assertEquals(forward, point.error(), series.spec());
      }
    }
  }

  private static Panel panel(String mask) {
    return Panel.of(SyntheticStudy.records(1)).stream()
        .filter(p -> p.key().mask().equals(mask) && !p.decoding())
        .findFirst()
        .orElseThrow();
  }

  private static SeriesAnswer answerOf(String spec) {
    return PanelAnswer.of(panel("causal")).series().stream()
        .filter(s -> s.series().spec().equals(spec))
        .findFirst()
        .orElseThrow();
  }
}
