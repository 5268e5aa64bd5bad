// SPDX-License-Identifier: Apache-2.0
package dev.crossover.reports.answer;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.crossover.attention.mechanism.Mechanism.Approximates;
import dev.crossover.bench.quality.QualityRecord;
import dev.crossover.bench.result.ResultRecord;
import dev.crossover.bench.result.ResultRecord.Study;
import dev.crossover.reports.answer.Claim.Outcome;
import dev.crossover.reports.answer.Claim.Setting;
import dev.crossover.reports.answer.Claim.Verdict;
import dev.crossover.reports.answer.ClaimRules.Crosses;
import dev.crossover.reports.answer.ClaimRules.Grows;
import dev.crossover.reports.answer.ClaimRules.Measured;
import dev.crossover.reports.answer.ClaimRules.Quantity;
import dev.crossover.reports.answer.ClaimRules.Spectra;
import dev.crossover.reports.answer.ClaimRules.Times;
import dev.crossover.reports.answer.ClaimRules.WholeImage;
import dev.crossover.reports.answer.TrainedRules.Evaluated;
import dev.crossover.reports.answer.TrainedRules.Trained;
import dev.crossover.variants.Catalogue;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.function.IntToDoubleFunction;
import java.util.random.RandomGenerator;
import org.junit.jupiter.api.Test;

class ClaimsTest {
  private static final Setting FORWARD = PaperClaims.FORWARD;
  // the synthetic records have width 64
  private static final Setting DECODE = new Setting(Study.DECODE, "causal", 64, List.of(16));
  private static final int[] LENGTHS = {128, 256, 512, 1024, 2048, 4096, 8192};

  private static final Evaluated HASHES =
      new Evaluated("repeat", "reformer", "num_hashes", List.of(1, 2, 4), "repeat -m reformer");

  private final RandomGenerator random = Curves.random(21);

  @Test
  void imageTimeOfPowersOfTheContextIsTheirSum() {
    int[] contexts = {1, 10, 100, 784, 3072};
    Curve square = Curves.exact("square", n -> 1e-9 * n * n, contexts);
    double truth = 1e-9 * 3072.0 * 3073.0 * 6145.0 / 6;
    assertEquals(truth, ImageTime.seconds(square, 3072), 1e-9 * truth);
    Curve flat = Curves.exact("flat", _ -> 2e-6, contexts);
    assertEquals(784 * 2e-6, ImageTime.seconds(flat, 784), 1e-15);
  }

  @Test
  void imageTimeIsNotExtrapolated() {
    Curve curve = Curves.exact("short", _ -> 1, 16, 784);
    assertThrows(IllegalArgumentException.class, () -> ImageTime.seconds(curve, 785));
  }

  @Test
  void imageRatioHoldsTheTruth() {
    int[] contexts = {16, 48, 98, 196, 392, 784};
    Curve slow = Curves.noisy("slow", n -> 1e-7 * n, 5, 0.05, random, contexts);
    Curve fast = Curves.noisy("fast", _ -> 1e-6, 5, 0.05, random, contexts);
    // below 16 the time is taken as that at 16: 15 more tokens at full price, 0.04 %
    double truth = 785 / 2.0 / 10;
    Ratio ratio = ImageTime.ratio(slow, fast, 784);
    assertTrue(ratio.low() < truth && truth < ratio.high(), ratio.toString());
  }

  @Test
  void exponentIsJudgedByItsIntervalAndItsLocalSlopes() {
    Panel panel = forward("tiled", n -> 1e-9 * n * n, "longformer", n -> 1e-6 * n);
    assertEquals(Verdict.REPRODUCED, judge(grows("tiled", 2), panel));
    assertEquals(Verdict.CONTRADICTED, judge(grows("tiled", 1), panel), "quadratic, not linear");
    assertEquals(Verdict.REPRODUCED, judge(grows("longformer", 1), panel));
    assertEquals(Verdict.CONTRADICTED, judge(grows("longformer", 2), panel), "linear");
    Panel between =
        forward("tiled", n -> 1e-8 * Math.pow(n, 1.5), "longformer", n -> 1e-6 * Math.sqrt(n));
    assertEquals(Verdict.WEAKER, judge(grows("tiled", 1), between), "steeper, not quadratic");
    assertEquals(Verdict.WEAKER, judge(grows("tiled", 2), between), "flatter, not linear");
    assertEquals(Verdict.STRONGER, judge(grows("longformer", 1), between), "saves more");
  }

  /// Local slopes log2(2 / 1.25) = 0.68 and log2(5 / 2) = 1.32 around a mean of 1.
  @Test
  void exponentOfACurveThatBendsIsUndecided() {
    Panel panel = forward("tiled", n -> 1 + Math.pow(n / 4096.0, 2), "longformer", n -> 1e-6 * n);
    Outcome outcome = grows("tiled", 1).outcome(panel);
    assertEquals(Verdict.UNDECIDED, outcome.verdict());
    assertTrue(outcome.why().contains("bends"), outcome.toString());
    assertTrue(
        outcome.own().startsWith("bends over 1,024–8,192, local slopes 0."), outcome.toString());
  }

  @Test
  void crossingIsJudgedByItsWholeInterval() {
    // 1e-9 n² = 1e-6 n at n = 1000
    Panel panel = forward("tiled", n -> 1e-9 * n * n, "longformer", n -> 1e-6 * n);
    assertEquals(Verdict.REPRODUCED, judge(crosses(1100), panel));
    assertEquals(Verdict.REPRODUCED, judge(crosses(1900), panel));
    assertEquals(Verdict.UNDECIDED, judge(crosses(2000), panel), "half of it is in the interval");
    assertEquals(Verdict.STRONGER, judge(crosses(2200), panel), "earlier");
    assertEquals(Verdict.WEAKER, judge(crosses(450), panel), "later");
    assertEquals(Verdict.CONTRADICTED, judge(crosses(Double.NaN), panel), "not never");
  }

  @Test
  void crossingThatIsNeverReachedReproducesNever() {
    Panel panel = forward("tiled", n -> 1e-9 * n * n, "longformer", n -> 1e-4 * n);
    assertEquals(Verdict.REPRODUCED, judge(crosses(Double.NaN), panel));
    assertEquals(Verdict.CONTRADICTED, judge(crosses(2000), panel));
    Outcome late = crosses(7000).outcome(panel);
    assertEquals(Verdict.UNDECIDED, late.verdict(), "twice 7,000 was not measured");
    assertTrue(late.why().contains("beyond n = 8,192"), late.toString());
  }

  @Test
  void factorIsJudgedFromBothSides() {
    // eight times faster at 8192
    Panel panel = forward("tiled", n -> 1e-9 * n * n, "longformer", n -> 1.024e-6 * n);
    assertEquals(Verdict.REPRODUCED, judge(times(11), panel));
    assertEquals(Verdict.REPRODUCED, judge(times(6), panel));
    assertEquals(Verdict.WEAKER, judge(times(13), panel));
    assertEquals(Verdict.STRONGER, judge(times(5), panel));
    Outcome open = times(12).outcome(panel);
    assertEquals(Verdict.UNDECIDED, open.verdict());
    assertTrue(open.why().contains("holds 8,"), open.toString());
    assertEquals(Verdict.CONTRADICTED, judge(times(0.8), panel), "faster, not slower");
  }

  /// Records of forward passes answer no claim about training, however fast they are.
  @Test
  void claimsOfTrainingAreJudgedByTrainingRecordsOnly() {
    List<ResultRecord> records = new ArrayList<>();
    for (int n : PaperClaims.TRAINING.lengths()) {
      records.add(point(Study.FORWARD, "materialised", n, 1e-9 * n * n, 5));
      records.add(point(Study.FORWARD, "performer", n, 1e-9 * n * 4096 / 100, 5));
      records.add(point(Study.TRAINING, "materialised", n, 3e-9 * n * n, 5));
      records.add(point(Study.TRAINING, "performer", n, 3e-9 * n * 4096 / 6, 5));
    }
    ClaimReplay replay =
        ClaimReplay.of(
            PaperClaims.all(), records, _ -> Outcome.undecided("", "errors are not looked at"));
    List<ClaimReplay.Result> training =
        replay.results().stream()
            .filter(r -> r.claim().statement().contains("performer is 5.7"))
            .toList();
    assertEquals(1, training.size());
    assertEquals(Verdict.REPRODUCED, training.getFirst().outcome().verdict(), "six times");
    assertTrue(
        training.getFirst().claim().statement().endsWith("in training at n = 4,096"),
        training.getFirst().claim().statement());
  }

  /// What an earlier rule called reproduced: 1.28 of 2.02 and 6.4 of 1.07.
  @Test
  void factorMoreThanHalfAsLargeAgainIsNotReproduced() {
    Ratio less = new Ratio(1.28, 1.21, 1.34);
    assertEquals(Verdict.WEAKER, Judgement.factor(less, "", 2.02).verdict());
    Ratio more = new Ratio(6.4, 5.9, 6.9);
    assertEquals(Verdict.STRONGER, Judgement.factor(more, "", 1.07).verdict());
  }

  @Test
  void losingMechanismIsJudgedOnItsSideOfOne() {
    assertEquals(
        Verdict.REPRODUCED, Judgement.factor(new Ratio(0.8, 0.7, 0.9), "", 0.79).verdict());
    assertEquals(Verdict.STRONGER, Judgement.factor(new Ratio(0.4, 0.3, 0.5), "", 0.79).verdict());
    assertEquals(
        Verdict.CONTRADICTED, Judgement.factor(new Ratio(1.1, 1.01, 1.2), "", 0.79).verdict());
    assertEquals(Verdict.UNDECIDED, Judgement.factor(new Ratio(0.9, 0.8, 1.1), "", 0.79).verdict());
  }

  @Test
  void roundedNumberNeverContradictsItsVerdict() {
    Outcome outcome = Judgement.factor(new Ratio(1.5, 1.3336, 1.7), "", 2);
    assertEquals(Verdict.REPRODUCED, outcome.verdict());
    assertTrue(outcome.own().contains("1.334"), outcome.own());
    outcome = Judgement.factor(new Ratio(1.5, 1.3330, 1.7), "", 2);
    assertEquals(Verdict.UNDECIDED, outcome.verdict());
    assertTrue(outcome.own().contains("1.33–"), outcome.own());
  }

  @Test
  void everyVerdictButReproducedHasAReason() {
    Panel panel = forward("tiled", n -> 1e-9 * n * n, "longformer", n -> 1.024e-6 * n);
    List<ResultRecord> records =
        panel.series().stream()
            .flatMap(s -> s.points().stream())
            .flatMap(p -> p.records().stream())
            .toList();
    ClaimReplay replay =
        ClaimReplay.of(
            PaperClaims.all(),
            records,
            _ -> Outcome.undecided("1.1 (0.9–1.3)", "the interval holds 1"));
    for (ClaimReplay.Result result : replay.results()) {
      boolean reproduced = result.outcome().verdict() == Verdict.REPRODUCED;
      assertEquals(reproduced, result.why().isEmpty(), result.toString());
    }
  }

  @Test
  void factorWithoutIntervalDecidesNothing() {
    List<ResultRecord> records = new ArrayList<>();
    for (int n : LENGTHS) {
      records.add(point(Study.FORWARD, "tiled", n, 1e-9 * n * n, 1));
      records.add(point(Study.FORWARD, "longformer", n, 1e-8 * n, 1));
    }
    assertEquals(Verdict.UNDECIDED, judge(times(2), Panel.of(records).getFirst()));
    assertEquals(Verdict.UNDECIDED, judge(crosses(2000), Panel.of(records).getFirst()));
    assertEquals(Verdict.UNDECIDED, judge(grows("tiled", 2), Panel.of(records).getFirst()));
  }

  @Test
  void memoryFactorNeedsNoInterval() {
    Panel panel = forward("tiled", n -> 1e-9 * n * n, "longformer", n -> 1e-6 * n);
    Measured rule = new Times(FORWARD, "longformer", "tiled", 8192, Quantity.MEMORY, 4);
    assertEquals(Verdict.WEAKER, judge(rule, panel), "equal bytes: a factor of 1");
    assertEquals("1.00 times", rule.outcome(panel).own());
  }

  @Test
  void imageIsJudgedOnDecodingRecords() {
    List<ResultRecord> records = new ArrayList<>();
    for (int n : new int[] {16, 98, 784, 3072}) {
      records.add(point(Study.DECODE, "tiled", n, 1e-8 * n, 5));
      records.add(point(Study.DECODE, "linear_transformer", n, 1e-6, 5));
    }
    Panel panel = Panel.of(records).getFirst();
    // 3073 / 2 · 1e-8 against 1e-6 a token: 15.4 times
    assertEquals(Verdict.REPRODUCED, judge(image(20), panel));
    assertEquals(Verdict.WEAKER, judge(image(4462), panel));
    Outcome outcome = image(20).outcome(panel);
    assertTrue(outcome.own().startsWith("15."), outcome.own());
  }

  @Test
  void panelThatDoesNotReachTheLengthsCoversNothing() {
    Panel panel = forward("tiled", n -> 1e-9 * n * n, "longformer", n -> 1e-6 * n);
    assertTrue(crosses(5000).covered(panel), "judged up to 8192, the largest length measured");
    assertFalse(crosses(200).covered(panel), "half of it lies below the smallest length");
    assertFalse(grows("performer", 1).covered(panel));
    assertFalse(new Times(FORWARD, "longformer", "tiled", 3000, Quantity.TIME, 2).covered(panel));
  }

  @Test
  void recordsOfTwoMachinesAreNeverOneCurve() {
    List<ResultRecord> records = new ArrayList<>();
    for (int n : LENGTHS) {
      ResultRecord record = point(Study.FORWARD, "tiled", n, 1e-9 * n * n, 5);
      records.add(n < 1024 ? record : Records.on(record, Records.environment("Other CPU")));
    }
    List<Claim> claims = List.of(new Claim("p", "", "t", "s", "2", grows("tiled", 2), ""));
    ClaimReplay replay = ClaimReplay.of(claims, records, _ -> Outcome.incomparable(""));
    assertEquals(Verdict.REPRODUCED, replay.results().getFirst().outcome().verdict());
    String measured = replay.results().getFirst().measured();
    assertTrue(measured.contains("Other CPU"), measured);
    String own = replay.results().getFirst().outcome().own();
    assertTrue(own.contains("2,048–8,192"), own);
  }

  @Test
  void onlyWhatNoRecordCoversIsMeasured() {
    List<Claim> claims =
        List.of(
            new Claim("p", "", "t", "s", "2", grows("tiled", 2), ""),
            new Claim("p", "", "t", "s", "1", grows("performer", 1), ""));
    List<ResultRecord> records = new ArrayList<>();
    for (int n : LENGTHS) {
      records.add(point(Study.FORWARD, "tiled", n, 1e-9 * n * n, 5));
    }
    assertEquals(List.of("performer"), ClaimReplay.uncovered(claims, records, Study.FORWARD));
    assertEquals(List.of(), ClaimReplay.uncovered(claims, records, Study.DECODE));
  }

  @Test
  void spectraAreJudgedByEveryLayerAndByLowestAgainstHighest() {
    Spectra rule = new Spectra(List.of("a", "b", "c"), 512);
    double[] low = {0.58, 0.6, 0.62};
    double[] high = {0.78, 0.8, 0.82};
    double[] flat = {0.28, 0.3, 0.32};
    assertEquals(Verdict.REPRODUCED, rule.outcome(List.of(low, high, high)).verdict());
    assertEquals(Verdict.CONTRADICTED, rule.outcome(List.of(high, high, low)).verdict());
    assertEquals(
        Verdict.CONTRADICTED, rule.outcome(List.of(low, flat, high)).verdict(), "not skewed");
    assertEquals(Verdict.UNDECIDED, rule.outcome(List.of(low, low, low)).verdict());
    double[] wide = {0.4, 0.9, 0.8};
    assertEquals(Verdict.UNDECIDED, rule.outcome(List.of(low, wide, high)).verdict());
  }

  @Test
  void trainingRunsAreJudgedByLossesOfEqualSeeds() {
    Trained rule = new Trained("repeat", "linear_transformer", "tiled", "reformer");
    assertEquals(Verdict.REPRODUCED, trained(rule, 1.1, 1.2, 5, 6));
    assertEquals(Verdict.CONTRADICTED, trained(rule, 3, 3.1, 5, 6), "ends above softmax");
    assertEquals(Verdict.CONTRADICTED, trained(rule, 1.1, 1.2, 0.5, 0.54), "hashing ends lower");
    assertEquals(Verdict.UNDECIDED, trained(rule, 0.1, 9, 50, 60), "seeds disagree");
  }

  @Test
  void runsOfAnotherTaskOrOfOneSeedDecideNothing() {
    Trained rule = new Trained("repeat", "linear_transformer", "tiled", "reformer");
    assertEquals(Verdict.NOT_COMPARABLE, rule.outcome(List.of()).verdict());
    List<QualityRecord> one = runs("repeat", 1, 1, 1.1, 5);
    assertEquals(Verdict.NOT_COMPARABLE, rule.outcome(QualityResults.of(one)).verdict());
    List<QualityRecord> other = runs("parity", 1, 1, 1.1, 5);
    other.addAll(runs("parity", 2, 1, 1.1, 5));
    assertEquals(Verdict.NOT_COMPARABLE, rule.outcome(QualityResults.of(other)).verdict());
    assertTrue(rule.outcome(List.of()).why().contains("crossover train repeat"));
  }

  @Test
  void runsOfOtherSeedsOrStepsAreNotPaired() {
    Trained rule = new Trained("repeat", "linear_transformer", "tiled", "reformer");
    List<QualityRecord> runs = runs("repeat", 1, 1, 1.1, 5);
    runs.addAll(runs("repeat", 2, 2, 2.4, 12));
    assertEquals(Verdict.REPRODUCED, rule.outcome(QualityResults.of(runs)).verdict());
    QualityRecord last = runs.removeLast();
    runs.add(QualityRecords.ended("repeat", last.mixer(), 3, 12, 100));
    assertEquals(Verdict.NOT_COMPARABLE, rule.outcome(QualityResults.of(runs)).verdict(), "seed");
    runs.removeLast();
    runs.add(QualityRecords.ended("repeat", last.mixer(), 2, 12, 50));
    assertEquals(Verdict.NOT_COMPARABLE, rule.outcome(QualityResults.of(runs)).verdict(), "steps");
  }

  /// The verdict on two seeds in which softmax ends at a loss of 1 and 2.
  private static Verdict trained(
      Trained rule, double linear1, double linear2, double worse1, double worse2) {
    List<QualityRecord> records = runs("repeat", 1, 1, linear1, worse1);
    records.addAll(runs("repeat", 2, 2, 2 * linear2, 2 * worse2));
    return rule.outcome(QualityResults.of(records)).verdict();
  }

  @Test
  void moreOfAParameterAtEvaluationIsJudgedSeedBySeed() {
    assertEquals(Verdict.REPRODUCED, hashes(0.5, 0.7, 0.9, 0.5, 0.72, 0.91).verdict());
    assertEquals(Verdict.CONTRADICTED, hashes(0.9, 0.7, 0.5, 0.9, 0.71, 0.5).verdict(), "falls");
    assertEquals(
        Verdict.CONTRADICTED, hashes(0.5, 0.4, 0.9, 0.5, 0.41, 0.9).verdict(), "one step falls");
    assertEquals(Verdict.UNDECIDED, hashes(1, 1, 1, 1, 1, 1).verdict(), "nothing left to raise");
    Outcome apart = hashes(0.5, 0.7, 0.9, 0.9, 0.9, 0.91);
    assertEquals(Verdict.UNDECIDED, apart.verdict(), "seeds disagree");
    assertTrue(apart.own().startsWith("reformer:chunk_length=8: 0.700 at 1, "), apart.own());
  }

  @Test
  void aSettingThatIsMissingDecidesNothing() {
    List<QualityRecord> one = List.of(evaluated(1, 0.5, 0.7, 0.9));
    assertEquals(Verdict.NOT_COMPARABLE, HASHES.outcome(QualityResults.of(one)).verdict());
    List<QualityRecord> partly =
        List.of(
            evaluated(1, 0.5, 0.7, 0.9),
            QualityRecords.evaluated("repeat", "reformer:chunk_length=8", 2, Map.of()));
    Outcome outcome = HASHES.outcome(QualityResults.of(partly));
    assertEquals(Verdict.NOT_COMPARABLE, outcome.verdict());
    assertTrue(
        outcome.why().contains("train repeat -m reformer --seeds 3 --evaluate-with"),
        outcome.why());
  }

  /// The verdict on two seeds with accuracies at 1, 2 and 4 hashes.
  private static Outcome hashes(
      double one1, double two1, double four1, double one2, double two2, double four2) {
    return HASHES.outcome(
        QualityResults.of(
            List.of(evaluated(1, one1, two1, four1), evaluated(2, one2, two2, four2))));
  }

  private static QualityRecord evaluated(long seed, double one, double two, double four) {
    String spec = "reformer:chunk_length=8";
    return QualityRecords.evaluated(
        "repeat",
        spec,
        seed,
        Map.of(spec, one, spec + ",num_hashes=2", two, spec + ",num_hashes=4", four));
  }

  private static List<QualityRecord> runs(
      String task, long seed, double softmax, double linear, double worse) {
    List<QualityRecord> runs = new ArrayList<>();
    runs.add(QualityRecords.ended(task, "tiled", seed, softmax, 100));
    runs.add(QualityRecords.ended(task, "linear_transformer", seed, linear, 100));
    runs.add(QualityRecords.ended(task, "reformer:chunk_length=32", seed, worse, 100));
    return runs;
  }

  @Test
  void errorsAreOrderedOnlyWhenEveryNumberOfFeaturesAgrees() {
    List<double[]> small = List.of(draws(1), draws(1), draws(1));
    List<double[]> large = List.of(draws(2), draws(2), draws(2));
    List<double[]> mixed = List.of(draws(2), draws(1), draws(2));
    assertEquals(Verdict.REPRODUCED, ClaimRules.Errors.outcome(small, large).verdict());
    assertEquals(Verdict.CONTRADICTED, ClaimRules.Errors.outcome(large, small).verdict());
    assertEquals(Verdict.UNDECIDED, ClaimRules.Errors.outcome(small, mixed).verdict());
    List<double[]> same = List.of(draws(1), draws(1), draws(1));
    assertEquals(Verdict.CONTRADICTED, ClaimRules.Errors.outcome(small, same).verdict());
  }

  @Test
  void everyClaimNamesItsSourceItsRuleAndMechanismsThatExist() {
    List<Claim> claims = PaperClaims.all();
    assertTrue(claims.getFirst().theirs().startsWith("4,462"), claims.getFirst().theirs());
    for (Claim claim : claims) {
      assertFalse(claim.where().isEmpty());
      assertFalse(claim.rule().words().isEmpty());
      assertTrue(claim.arxiv().isEmpty() || claim.arxiv().matches("\\d{4}\\.\\d{5}"));
      for (String spec : claim.specs()) {
        var attention = Catalogue.parse(spec);
        assertEquals(
            spec,
            Catalogue.find(attention.name()).describe(attention),
            "records hold the shortest form");
      }
    }
    assertEquals(claims.size(), claims.stream().distinct().count());
  }

  private static Verdict judge(Measured rule, Panel panel) {
    return rule.outcome(panel).verdict();
  }

  private static Grows grows(String spec, double exponent) {
    return new Grows(FORWARD, spec, Quantity.TIME, exponent);
  }

  private static Crosses crosses(double n) {
    return new Crosses(FORWARD, "longformer", "tiled", n);
  }

  private static Times times(double times) {
    return new Times(FORWARD, "longformer", "tiled", 8192, Quantity.TIME, times);
  }

  private static WholeImage image(double times) {
    return new WholeImage(DECODE, "linear_transformer", "tiled", 3072, times);
  }

  private double[] draws(double centre) {
    double[] values = new double[15];
    Arrays.setAll(values, _ -> centre * (1 + 0.05 * random.nextGaussian()));
    return values;
  }

  private Panel forward(
      String first, IntToDoubleFunction seconds, String second, IntToDoubleFunction other) {
    List<ResultRecord> records = new ArrayList<>();
    for (int n : LENGTHS) {
      records.add(point(Study.FORWARD, first, n, seconds.applyAsDouble(n), 5));
      records.add(point(Study.FORWARD, second, n, other.applyAsDouble(n), 5));
    }
    return Panel.of(records).getFirst();
  }

  private ResultRecord point(Study study, String spec, int n, double seconds, int forks) {
    return Records.point(
        study,
        spec,
        Approximates.SOFTMAX,
        study == Study.DECODE ? "causal" : "none",
        n,
        seconds,
        1e6,
        0.1,
        forks,
        0.01,
        random);
  }
}
