// SPDX-License-Identifier: Apache-2.0
package dev.crossover.variants;

import static com.tngtech.archunit.lang.syntax.ArchRuleDefinition.classes;
import static com.tngtech.archunit.lang.syntax.ArchRuleDefinition.noClasses;
import static com.tngtech.archunit.library.GeneralCodingRules.NO_CLASSES_SHOULD_ACCESS_STANDARD_STREAMS;

import com.tngtech.archunit.core.domain.Dependency;
import com.tngtech.archunit.core.domain.JavaClass;
import com.tngtech.archunit.core.importer.ImportOption;
import com.tngtech.archunit.junit.AnalyzeClasses;
import com.tngtech.archunit.junit.ArchTest;
import com.tngtech.archunit.lang.ArchCondition;
import com.tngtech.archunit.lang.ArchRule;
import com.tngtech.archunit.lang.ConditionEvents;
import com.tngtech.archunit.lang.SimpleConditionEvent;
import dev.crossover.attention.Attention;
import dev.crossover.attention.mechanism.Mechanism;
import dev.crossover.attention.testing.AttentionContract;

/// The invariants of the mechanisms that imports can break, and that none is left out of a list.
@AnalyzeClasses(
    packages = "dev.crossover.variants",
    importOptions = ImportOption.DoNotIncludeTests.class)
class ArchitectureTest {
  @ArchTest
  static final ArchRule mechanismsLeaveVectorsToKernels =
      noClasses().should().dependOnClassesThat().resideInAPackage("jdk.incubator..");

  @ArchTest
  static final ArchRule variantsKnowNeitherBenchNorReports =
      noClasses()
          .should()
          .dependOnClassesThat()
          .resideInAnyPackage("dev.crossover.bench..", "dev.crossover.reports..");

  @ArchTest
  static final ArchRule mechanismsDoNotImportOneAnother =
      classes()
          .that()
          .doNotHaveFullyQualifiedName(Catalogue.class.getName())
          .should(dependOnOneMechanismAtMost());

  @ArchTest
  static final ArchRule everyMechanismIsInTheCatalogue =
      classes().that().areAnnotatedWith(Mechanism.class).should(beInTheCatalogue());

  @ArchTest
  static final ArchRule everyMechanismIsHeldToTheContract =
      classes().that().areAnnotatedWith(Mechanism.class).should(haveATestOfTheContract());

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

  /// A mechanism's own classes know that mechanism; shared classes know none.
  private static ArchCondition<JavaClass> dependOnOneMechanismAtMost() {
    return new ArchCondition<>("depend on one mechanism at most") {
      @Override
      public void check(JavaClass type, ConditionEvents events) {
        JavaClass own = outermost(type);
        JavaClass known = own.isAnnotatedWith(Mechanism.class) ? own : null;
        for (Dependency dependency : type.getDirectDependenciesFromSelf()) {
          JavaClass target = outermost(dependency.getTargetClass());
          boolean mechanism =
              target.isAnnotatedWith(Mechanism.class)
                  && target.getPackageName().startsWith("dev.crossover.variants");
          if (mechanism && known == null) {
            known = target;
          }
          if (mechanism && !target.equals(known)) {
            events.add(SimpleConditionEvent.violated(type, dependency.getDescription()));
          }
        }
      }
    };
  }

  private static JavaClass outermost(JavaClass type) {
    JavaClass outer = type.getBaseComponentType();
    while (outer.getEnclosingClass().isPresent()) {
      outer = outer.getEnclosingClass().get();
    }
    return outer;
  }

  private static ArchCondition<JavaClass> beInTheCatalogue() {
    return new ArchCondition<>("be in the catalogue") {
      @Override
      public void check(JavaClass type, ConditionEvents events) {
        boolean listed =
            Catalogue.all().stream().anyMatch(t -> t.type().getName().equals(type.getName()));
        events.add(new SimpleConditionEvent(type, listed, type.getName() + " in the catalogue"));
        if (!type.isAssignableTo(Attention.class)) {
          events.add(SimpleConditionEvent.violated(type, type.getName() + " is no Attention"));
        }
      }
    };
  }

  private static ArchCondition<JavaClass> haveATestOfTheContract() {
    return new ArchCondition<>("have a test that extends AttentionContract") {
      @Override
      public void check(JavaClass type, ConditionEvents events) {
        String test = type.getName() + "Test";
        try {
          Class<?> found = Class.forName(test, false, ArchitectureTest.class.getClassLoader());
          boolean extending = AttentionContract.class.isAssignableFrom(found);
          events.add(new SimpleConditionEvent(type, extending, test + " extends the contract"));
        } catch (ClassNotFoundException e) {
          events.add(SimpleConditionEvent.violated(type, test + " does not exist"));
        }
      }
    };
  }
}
