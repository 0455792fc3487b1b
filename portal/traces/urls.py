from __future__ import annotations

from django.urls import path

from portal.traces import diagnosis_views, port_trace_views, probing_views, views

urlpatterns = [
    path("trace/", views.trace_new, name="trace_new"),
    path("trace/<uuid:uuid>/", views.trace, name="trace"),
    path("trace/<uuid:uuid>/export.<str:form>", views.trace_export, name="trace_export"),
    path("trace/<uuid:uuid>/deliver/", views.trace_deliver, name="trace_deliver"),
    path("trace/<uuid:uuid>/probing/", probing_views.probing_start, name="probing_start"),
    path("probing/<uuid:uuid>/stop/", probing_views.probing_stop, name="probing_stop"),
    path("trace/why/<uuid:port>/", diagnosis_views.trace_why, name="trace_why"),
    path("diagnoses/<uuid:uuid>/", diagnosis_views.diagnosis, name="diagnosis"),
    path("flows/<slug:host>/<str:bridge>/trace/", port_trace_views.port_traces, name="port_traces"),
    path("port-traces/<uuid:uuid>/", port_trace_views.port_trace, name="port_trace"),
    path("diagnoses/<uuid:uuid>/mend/", diagnosis_views.diagnosis_mend, name="diagnosis_mend"),
]
