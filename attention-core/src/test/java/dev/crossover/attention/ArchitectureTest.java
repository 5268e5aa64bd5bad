// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention;

import static com.tngtech.archunit.lang.syntax.ArchRuleDefinition.noClasses;
import static com.tngtech.archunit.library.GeneralCodingRules.NO_CLASSES_SHOULD_ACCESS_STANDARD_STREAMS;

import com.tngtech.archunit.core.importer.ImportOption;
import com.tngtech.archunit.junit.AnalyzeClasses;
import com.tngtech.archunit.junit.ArchTest;
import com.tngtech.archunit.lang.ArchRule;

/// The invariants of the module that imports can break.
@AnalyzeClasses(
    packages = "dev.crossover.attention",
    importOptions = ImportOption.DoNotIncludeTests.class)
class ArchitectureTest {
  @ArchTest
  static final ArchRule onlyKernelsUseTheVectorApi =
      noClasses()
          .that()
          .resideOutsideOfPackage("dev.crossover.attention.kernel..")
          .should()
          .dependOnClassesThat()
          .resideInAPackage("jdk.incubator..");

  @ArchTest
  static final ArchRule coreKnowsNoOtherModule =
      noClasses()
          .should()
          .dependOnClassesThat()
          .resideInAnyPackage(
              "dev.crossover.variants..", "dev.crossover.bench..", "dev.crossover.reports..");

  @ArchTest
  static final ArchRule kernelsKnowNoMechanism =
      noClasses()
          .that()
          .resideInAPackage("dev.crossover.attention.kernel..")
          .should()
          .dependOnClassesThat()
          .resideInAnyPackage(
              "dev.crossover.attention.exact..",
              "dev.crossover.attention.mechanism..",
              "dev.crossover.attention.conformance..");

  @ArchTest
  static final ArchRule tensorsKnowNothingElse =
      noClasses()
          .that()
          .resideInAPackage("dev.crossover.attention.tensor..")
          .should()
          .dependOnClassesThat()
          .resideInAnyPackage(
              "dev.crossover.attention",
              "dev.crossover.attention.exact..",
              "dev.crossover.attention.kernel..",
              "dev.crossover.attention.mechanism..",
              "dev.crossover.attention.conformance..");

  @ArchTest
  static final ArchRule conformanceKnowsNoParticularMechanism =
      noClasses()
          .that()
          .resideInAPackage("dev.crossover.attention.conformance..")
          .should()
          .dependOnClassesThat()
          .resideInAnyPackage(
              "dev.crossover.attention.exact..", "dev.crossover.attention.kernel..");

  @ArchTest
  static final ArchRule everyDrawIsSeededByDraws =
      noClasses()
          .that()
          .resideOutsideOfPackage("dev.crossover.attention.random..")
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
