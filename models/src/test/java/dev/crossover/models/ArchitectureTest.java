// SPDX-License-Identifier: Apache-2.0
package dev.crossover.models;

import static com.tngtech.archunit.lang.syntax.ArchRuleDefinition.noClasses;
import static com.tngtech.archunit.library.GeneralCodingRules.NO_CLASSES_SHOULD_ACCESS_STANDARD_STREAMS;
import static com.tngtech.archunit.library.dependencies.SlicesRuleDefinition.slices;

import com.tngtech.archunit.core.importer.ImportOption;
import com.tngtech.archunit.junit.AnalyzeClasses;
import com.tngtech.archunit.junit.ArchTest;
import com.tngtech.archunit.lang.ArchRule;

/// The arrows of the module: graph ← layer ← model ← training; optimisers know the graph only.
@AnalyzeClasses(
    packages = "dev.crossover.models",
    importOptions = ImportOption.DoNotIncludeTests.class)
class ArchitectureTest {
  @ArchTest
  static final ArchRule modelsLeaveVectorsToKernels =
      noClasses().should().dependOnClassesThat().resideInAPackage("jdk.incubator..");

  @ArchTest
  static final ArchRule modelsKnowNeitherBenchNorReports =
      noClasses()
          .should()
          .dependOnClassesThat()
          .resideInAnyPackage("dev.crossover.bench..", "dev.crossover.reports..");

  @ArchTest
  static final ArchRule graphKnowsNoLayer =
      noClasses()
          .that()
          .resideInAnyPackage("dev.crossover.models.graph..", "dev.crossover.models.optimiser..")
          .should()
          .dependOnClassesThat()
          .resideInAnyPackage(
              "dev.crossover.models.layer..",
              "dev.crossover.models.model..",
              "dev.crossover.models.training..");

  @ArchTest
  static final ArchRule packagesHaveNoCycles =
      slices().matching("dev.crossover.models.(*)..").should().beFreeOfCycles();

  @ArchTest
  static final ArchRule everyDrawIsSeededByDraws =
      noClasses()
          .should()
          .dependOnClassesThat()
          .belongToAnyOf(
              java.util.Random.class,
              java.util.SplittableRandom.class,
              java.util.concurrent.ThreadLocalRandom.class)
          .orShould()
          .callMethod(Math.class, "random");

  @ArchTest static final ArchRule libraryPrintsNothing = NO_CLASSES_SHOULD_ACCESS_STANDARD_STREAMS;
}
