"""What the reference project serves: the admin, and what phones call."""

from __future__ import annotations

from django.conf import settings
from django.contrib import admin
from django.contrib.staticfiles.views import serve
from django.urls import URLPattern, URLResolver, include, path, re_path
from django.views.generic import RedirectView

urlpatterns: list[URLPattern | URLResolver] = [
    path("admin/", admin.site.urls),
    path("wallet/", include("loyalty_wallet.webservice.urls")),
    path("", RedirectView.as_view(pattern_name="admin:index")),
]

if settings.IS_LOOPBACK_ONLY:
    # Styles without DEBUG, for a look at the project on one's own machine. Anything that other
    # machines reach runs `collectstatic` and lets the web server serve STATIC_ROOT.
    urlpatterns.append(re_path(r"^static/(?P<path>.*)$", serve, {"insecure": True}))
